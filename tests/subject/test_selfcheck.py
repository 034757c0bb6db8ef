"""The check before a long run: silent on what is right, loud on each planted fault."""

from dataclasses import asdict, dataclass, replace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import landscape
from landscape.subject.objective import Objective, ravel, unravel
from landscape.subject.penalty import L2, NormSum
from landscape.subject.selfcheck import selfcheck

ARCHITECTURES = ["conv", "msa", "hybrid", "plain"]


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 3, 8, 8, generator=generator)
    return [(x[:4], torch.tensor([0, 1, 2, 0])), (x[4:], torch.tensor([1, 2]))]


def near_rounding(result):
    assert result.symmetry < 1e-4
    assert result.linearity < 5e-3  # a unit at its kink: on in float32 and off in float64
    assert result.repeat == 0
    assert max(result.curvature, result.doubt) < 1e-5
    assert result.dtype == "float64"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_false_alarm_on_any_architecture_and_seed(build, data, name):
    objective = Objective(build(name).float(), data, weight_decay=5e-4)
    for seed in range(8):
        near_rounding(selfcheck(objective, seed=seed))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet_s", "random"), ("resnet_s", None), ("vit_s", None), ("alternet_s", None)],
)
def test_no_false_alarm_on_networks_as_large_as_they_come(name, weights):
    case = landscape.prepare(name, weights=weights, split="train", limit=2, batch_size=2)
    near_rounding(selfcheck(Objective(case.model.eval(), case.batches)))


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-5])
def test_no_false_alarm_on_parameters_that_are_next_to_nothing(build, data, spread):
    """As the biases of an untrained network: a share of their own size would move nothing."""
    net, draw = build("msa").float(), torch.Generator().manual_seed(0)
    names = tuple(name for name, _ in net.named_parameters() if name.endswith("bias"))
    for name in names:
        nn.init.normal_(net.get_parameter(name), std=spread, generator=draw)
    result = selfcheck(Objective(net, data, names=names))
    assert result.linearity < 1e-4
    assert (result.repeat, result.dtype) == (0, "float64")
    assert max(result.symmetry, result.curvature, result.doubt) < 1e-4


@pytest.mark.parametrize("matrix", ["ggn", "residual"])
@pytest.mark.parametrize("batchnorm", ["eval", "batch"])
def test_no_false_alarm_on_other_matrices(build, data, matrix, batchnorm):
    for name in ("conv", "hybrid"):
        net = build(name).float()
        objective = Objective(net, data, weight_decay=0.1, matrix=matrix, batchnorm=batchnorm)
        near_rounding(selfcheck(objective))


def test_no_false_alarm_on_a_part_elsewhere_or_in_pieces(build, data):
    whole = Objective(build("msa").float(), data)
    part = replace(whole, names=("blocks.0.attn.qkv.weight", "head.bias"), microbatch=1)
    near_rounding(selfcheck(part))
    near_rounding(selfcheck(whole, {n: 1.1 * p for n, p in whole.parameters().items()}))
    wide = Objective(build("hybrid"), [(x.double(), y) for x, y in data])
    result = selfcheck(wide)
    near_rounding(result)
    assert result.symmetry < 1e-10


class Insists(nn.Module):
    """Refuses to be computed in another precision."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        if x.dtype != torch.float32:
            raise RuntimeError("expected float32")
        return self.net(x)


def test_kinks_are_no_fault(build, data):
    """Biases of zero behind images of zeros: the units stand at their kinks."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 30), nn.ReLU(), nn.Linear(30, 3))
    nn.init.zeros_(net[1].bias)
    blank = [(torch.zeros_like(x), y) for x, y in data]
    for seed in range(10):
        selfcheck(Objective(net, blank), seed=seed)
        selfcheck(Objective(net, data, weight_decay=NormSum(0.1)), seed=seed)
    net.append(nn.Linear(3, 3))
    nn.init.zeros_(net[1].weight)
    assert selfcheck(Objective(net, data)).doubt < 1e-3  # decided beside the kinks
    net[2] = Layer(lambda x: Bent.apply(torch.relu(x)))
    with pytest.raises(ValueError, match="derivative of the gradient"):
        selfcheck(Objective(net, data))
    for seed in range(3):
        insisting = Objective(Insists(build("conv").float()), data)
        assert selfcheck(insisting, seed=seed).dtype == "float32"


def test_no_curvature_is_no_fault(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    result = selfcheck(Objective(net, data, lambda outputs, targets: outputs.sum(1)))
    assert max(result.symmetry, result.linearity, result.repeat, result.curvature) == 0


def test_the_answer_can_be_stored(build, data):
    found = asdict(selfcheck(Objective(build("msa").float(), data)))
    assert set(found) == {"symmetry", "linearity", "repeat", "curvature", "doubt", "dtype"}
    assert all(isinstance(v, float | str) for v in found.values())


class Bent(torch.autograd.Function):
    """Softplus with the right gradient, whose own derivative is 10 % too small."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return softplus(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return BentSlope.apply(x, grad)


class BentSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, grad):
        ctx.save_for_backward(x, grad)
        return x.sigmoid() * grad

    @staticmethod
    def backward(ctx, other):
        x, grad = ctx.saved_tensors
        s = x.sigmoid()
        return 0.9 * s * (1 - s) * grad * other, s * other


class Constant(torch.autograd.Function):
    """Softplus whose backward pass forgets that it depends on its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = x.sigmoid()
        return softplus(x)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.slope


class Layer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Drifting(nn.Module):
    """A running mean that never stops running."""

    def __init__(self, momentum):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(4, 1, 1))

    def forward(self, x):
        with torch.no_grad():
            now = x.mean((0, 2, 3))[:, None, None]
            self.mean.add_(self.momentum * (now - self.mean))
        return x - self.mean


class Cached(nn.Module):
    """Fills a table at its first call, as position tables are: no fault."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(1), persistent=False)

    def forward(self, x):
        if not self.table.any():
            self.table = torch.ones(x.shape[-1], dtype=x.dtype)
        return x + self.table


def with_layer(build, layer):
    """The plain network with a layer behind its first activation."""
    net = build("plain").float()
    net[2] = nn.Sequential(net[2], layer)
    return net


@pytest.mark.parametrize(
    "function",
    [Bent.apply, Constant.apply, lambda x: softplus(x) * x.detach()],
    ids=["bent", "constant", "detached"],
)
def test_a_wrong_second_derivative_is_caught(build, data, function):
    right, net = (with_layer(build, Layer(f)) for f in (softplus, function))
    for seed in range(3):
        near_rounding(selfcheck(Objective(right, data), seed=seed))
        with pytest.raises(ValueError, match=r"derivative of the gradient|not symmetric"):
            selfcheck(Objective(net, data), seed=seed)


def test_a_wrong_second_derivative_is_caught_without_float64(build, data):
    net = with_layer(build, Layer(lambda x: softplus(x) * x.detach()))
    for seed in range(3):
        with pytest.raises(ValueError, match="derivative of the gradient"):
            selfcheck(Objective(Insists(net), data), seed=seed)


def test_a_wrong_second_derivative_is_caught_behind_kinks(build, data):
    net = build("conv").float()
    net.stages[0][0].relu = Layer(lambda x: Bent.apply(torch.relu(x)))
    for seed in range(3):
        with pytest.raises(ValueError, match="derivative of the gradient"):
            selfcheck(Objective(net, data), seed=seed)


def test_dropout_is_caught(build, data):
    net = with_layer(build, nn.Dropout(0.05))
    selfcheck(Objective(net.eval(), data))
    with pytest.raises(ValueError, match=r"two equal products differ by .*model.eval"):
        selfcheck(Objective(net.train(), data))


class Augmented:
    def __init__(self, batches, size):
        self.batches, self.size = batches, size

    def __iter__(self):
        for x, y in self.batches:
            yield x + self.size * torch.randn_like(x), y


def test_changing_data_are_caught(build, data):
    net = build("msa").float()
    selfcheck(Objective(net, Augmented(data, 0.0)))
    with pytest.raises(ValueError, match="change from pass to pass"):
        selfcheck(Objective(net, Augmented(data, 0.01)))


@pytest.mark.parametrize("momentum", [0.1, 1e-6])
def test_a_buffer_that_is_written_is_caught(build, data, momentum):
    with pytest.raises(ValueError, match=r"two equal products differ|writes to its buffer"):
        selfcheck(Objective(with_layer(build, Drifting(momentum)), data))
    selfcheck(Objective(with_layer(build, Cached()), data))


class Keeping(nn.Module):
    """Computes from its weight once, as attention biases are looked up once in eval mode."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 1, 1))
        self.kept = None

    def forward(self, x):
        if self.kept is None:
            self.kept = 1e-4 * self.weight.sin()
        return x + self.kept


def test_what_is_computed_from_weights_only_once_is_caught(build, data):
    with pytest.raises(ValueError, match=r"depends on '2.1.weight' and the next does not"):
        selfcheck(Objective(with_layer(build, Keeping()), data[:1]))


class Crooked(NormSum):
    """A penalty whose Hessian is that of another."""

    def hvp(self, params, vector):
        return L2(self.coefficient).hvp(params, vector)


def test_a_wrong_penalty_is_caught(build, data):
    with pytest.raises(ValueError, match="derivative of the gradient"):
        selfcheck(Objective(build("msa").float(), data, weight_decay=Crooked(1.0)))


@dataclass(frozen=True)
class Skewed(Objective):
    """Products that are off by a matrix which is not symmetric, or not a matrix at all."""

    skew: float = 0.0
    bias: float = 0.0

    def hvp(self, params, vector):
        flat = ravel(super().hvp(params, vector))
        other = torch.sin(torch.arange(flat.numel())) * flat.norm() / flat.numel() ** 0.5
        shifted = flat + self.skew * flat.roll(1) + self.bias * other
        return unravel(shifted, params)


def test_products_that_are_no_symmetric_matrix_are_caught(build, data):
    net = build("msa").float()
    near_rounding(selfcheck(Skewed(net, data)))
    with pytest.raises(ValueError, match=r"derivative of the gradient|not symmetric"):
        selfcheck(Skewed(net, data, skew=0.02))
    with pytest.raises(ValueError, match=r"not linear|derivative of the gradient|not symmetric"):
        selfcheck(Skewed(net, data, bias=0.02))


def test_numbers_that_are_none_are_caught(build, data):
    net = build("msa").float()
    with torch.no_grad():
        net.head.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        selfcheck(Objective(net, data))


@pytest.mark.parametrize("curvature", [-1.0, 1.0])
def test_a_matrix_that_is_a_number_is_no_fault(curvature):
    net = nn.Linear(3, 1, bias=False).double()
    batch = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    risk = Objective(net, [batch], lambda o, t: curvature * (o[:, 0] - t) ** 2)
    near_rounding(selfcheck(risk))
