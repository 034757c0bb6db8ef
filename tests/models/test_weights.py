import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape.analyzers import fingerprint
from landscape.models.weights import fit, read


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 2)


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {name: value.clone() for name, value in Net().state_dict().items()}


def test_safetensors_with_metadata(state, tmp_path):
    file = tmp_path / "a.safetensors"
    save_file(state, file, metadata={"landscape": "{}", "note": "x"})
    found, facts = read(file)
    assert same(found, state)
    assert facts == {"landscape": "{}", "note": "x"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [(), ("state_dict",), ("model",), ("model_state",)])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes_fall_away(state, tmp_path, wrapper, prefix, legacy):
    content = {prefix + name: value for name, value in state.items()}
    for name in wrapper:
        content = {name: content, "epoch": 3, "optimiser": {"lr": 0.1}}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    found, facts = read(tmp_path / "a.pt")
    assert same(found, state)
    assert facts == ({"epoch": 3} if wrapper else {})


def test_a_prefix_of_some_names_alone_is_kept(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "a.pt")
    assert list(read(tmp_path / "a.pt")[0]) == ["module.a", "b"]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_cannot_run_code(tmp_path, legacy):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    file = tmp_path / "a.pt"
    torch.save({"state_dict": Bomb()}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"more than plain weights.*state_dict\(\)") as caught:
        read(file)
    assert "\n" not in str(caught.value)
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"a\.pt"):
        read(file)
    assert not (tmp_path / "crater").exists()


def test_a_pickled_network_is_no_state_dict(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="more than plain weights"):
        read(tmp_path / "a.pt")


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "th"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_truncated_files_are_refused(state, tmp_path, suffix, share):
    file = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=suffix == "pt")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"a.{suffix}") as caught:
        read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2), "holds no state dict but a Tensor"),
        ([torch.ones(2)], "holds no state dict but a list"),
        ({}, "holds no state dict but a dict"),
        ({"weight": torch.ones(2), "epoch": 3}, r"1 of its entries are no tensors \(epoch\)"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*a\.pt"):
        read(tmp_path / "a.pt")


def test_another_architecture_is_refused_and_nothing_is_written(state):
    net = Net(5)
    before = fingerprint(net)
    with pytest.raises(
        ValueError, match=r"x does not fit Net: 7 of another shape \(conv.weight"
    ) as e:
        fit(net, state, "x")
    assert "(4, 3, 3, 3) instead of (5, 3, 3, 3)" in str(e.value)
    renamed = {f"stem.{name}": value for name, value in state.items()}
    with pytest.raises(ValueError, match=r"8 missing \(conv.weight, .*; 9 unexpected \(stem.conv"):
        fit(net, renamed, "x")
    assert fingerprint(net) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(state, bad):
    net = Net()
    before = fingerprint(net)
    state["conv.weight"][1, 2, 0, :2] = bad
    with pytest.raises(
        ValueError, match=r"x: 2 of 108 values in 'conv.weight' are NaN or infinite"
    ):
        fit(net, state, "x")
    assert fingerprint(net) == before


def test_floats_are_cast_to_the_network(state):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        net = fit(Net(), {k: v.to(dtype) for k, v in state.items()}, "x")
        assert {v.dtype for v in net.parameters()} == {torch.float32}
        assert torch.equal(net.head.weight, state["head.weight"].to(dtype).float())
        assert net.bn.num_batches_tracked.dtype == torch.int64
    state["head.bias"][0] = 1e6  # beyond half precision
    with pytest.raises(ValueError, match=r"1 of 2 values in 'head.bias' .*float16"):
        fit(Net().half(), state, "x")


def test_the_counters_of_batch_normalisation_may_be_absent(state):
    del state["bn.num_batches_tracked"]
    state["bn.running_mean"][:] = 3
    assert fit(Net(), state, "x").bn.running_mean.tolist() == [3.0] * 4


def test_the_fingerprint_sees_names_and_values(state):
    net = fit(Net(), state, "x")
    before = fingerprint(net)
    assert before == fingerprint(fit(Net(), state, "y"))
    assert len(before) == 64
    with torch.no_grad():
        net.bn.running_var[0] += 1e-6
    assert fingerprint(net) != before
    assert fingerprint(nn.Sequential(nn.Identity(), net.head)) != fingerprint(
        nn.Sequential(net.head)
    )
    assert len(fingerprint(nn.Linear(2, 2).bfloat16())) == 64


def test_what_a_network_derives_from_its_weights_is_derived_again():
    class Caching(nn.Linear):  # as attention biases of LeViT, which are gathered once in eval mode
        cache = None

        def train(self, mode=True):
            self.cache = None if mode else self.weight.detach().clone()
            return super().train(mode)

        def forward(self, x):
            return x @ (self.weight if self.cache is None else self.cache).T

    net, other = Caching(3, 2, bias=False).eval(), Caching(3, 2, bias=False)
    fit(net, other.state_dict(), "a.pt")
    x = torch.randn(4, 3)
    assert not net.training
    assert torch.equal(net(x), other(x))
