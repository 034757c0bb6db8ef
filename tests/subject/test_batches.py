import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape.subject.batches import check, check_finite, check_repeatable, freeze


def loader(**kwargs):
    data = TensorDataset(torch.arange(20.0).view(10, 2), torch.arange(10) % 2)
    return DataLoader(data, batch_size=4, **kwargs)


def test_freeze_keeps_one_draw_and_the_generators():
    state = torch.get_rng_state()
    one, two = (freeze(loader(shuffle=True), seed=3) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, c) for (a, _), (c, _) in zip(one, two, strict=True))
    other = freeze(loader(shuffle=True), seed=4)
    assert not torch.equal(torch.cat([x for x, _ in one]), torch.cat([x for x, _ in other]))


def test_freeze_cuts_and_counts():
    assert [len(x) for x, _ in freeze(loader(), n=5)] == [4, 1]
    with pytest.raises(ValueError, match="10 examples, 11"):
        freeze(loader(), n=11)


def test_repeatable_data_and_network_pass():
    check_repeatable(nn.Linear(2, 2), loader())
    check_repeatable(nn.Linear(2, 2), freeze(loader(shuffle=True)))


def test_shuffling_is_refused():
    with pytest.raises(ValueError, match="differs between two passes"):
        check_repeatable(nn.Linear(2, 2), loader(shuffle=True))


def test_dropout_is_refused_in_train_mode_only():
    net = nn.Sequential(nn.Linear(2, 50), nn.Dropout())
    with pytest.raises(ValueError, match="asked twice"):
        check_repeatable(net, freeze(loader()))
    check_repeatable(net.eval(), freeze(loader()))


def test_a_generator_is_refused():
    with pytest.raises(TypeError, match="only once"):
        check((x, y) for x, y in loader())


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batch"),
        ([(torch.zeros(2), torch.zeros(3))], "2 inputs and 3 targets"),
        ([(torch.zeros(0, 2), torch.zeros(0))], "0 inputs"),
        ([(torch.tensor([[float("nan"), float("inf")]]), torch.zeros(1))], "2 NaN or infinite"),
    ],
)
def test_bad_batches(batches, message):
    with pytest.raises(ValueError, match=message):
        check(batches)


def test_items_must_be_pairs_of_tensors():
    with pytest.raises(TypeError, match="pair"):
        check([torch.zeros(2, 2)])
    with pytest.raises(TypeError, match="tensors"):
        check([([1.0], [2])])


def test_a_nan_weight_is_named():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[1].running_var[0] = float("inf")
    with pytest.raises(ValueError, match=r"'1.running_var' holds 1 NaN or infinite numbers of 2"):
        check_finite(net)
