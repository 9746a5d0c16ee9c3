"""A vote of noisy copies is the mean of what its network says of each, and reads back as it was."""

import pytest
import torch

from models.noisy_votes import BASES, IMAGE, votes
from pipeline.models.image_networks import ImageNetworks


def images(members=2, count=5):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 16, (members, count, *IMAGE), generator=generator)
    return x.float()


@pytest.mark.parametrize("base", BASES)
def test_the_answer_is_the_log_of_the_mean_probability_of_all_copies(base):
    population, x = votes(base), images()
    for number in range(2):
        member = population.member(number)
        center, scale = (population.preprocessing[name][number] for name in ("center", "scale"))
        each = [
            BASES[base].answer((x[number] - center) / scale + noise, member).softmax(-1)
            for noise in member["noise"]
        ]
        torch.testing.assert_close(population(x)[number], torch.stack(each).mean(0).log())


def test_each_image_is_answered_alone():
    population, x = votes("cnn"), images()
    torch.testing.assert_close(population(x)[:, :2], population(x[:, :2]))


def test_a_cut_moves_who_is_called_ill_by_as_much():
    population, x = votes("cnn"), images()
    before = population(x)
    moved = population.decide_at(torch.tensor([0.3, -0.2], dtype=torch.float64))
    lead = (moved(x)[..., 1] - moved(x)[..., 0]) - (before[..., 1] - before[..., 0])
    torch.testing.assert_close(lead, torch.tensor([[-0.3], [0.2]]).expand_as(lead))


@pytest.mark.parametrize("base", BASES)
def test_it_reads_back_bit_for_bit(base, tmp_path):
    population, x = votes(base), images()
    population.save(tmp_path)
    again = ImageNetworks.load(tmp_path)
    assert again.architecture == population.architecture
    assert torch.equal(again(x), population(x))
    assert again.digest == population.digest
