"""A self-ensemble's classifiers see the transformer's own tokens, laid out as the image is."""

import pytest
import torch
from torch.nn.functional import conv2d

from models.ensembles import SMALL, TRUNK, untrained
from pipeline.files import BadInput
from pipeline.models.self_ensemble import SelfEnsemble, SmoothVotes, as_picture
from pipeline.models.vit import cut_up


def images(count=4):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_the_transformer_inside_answers_as_it_does_alone():
    z, member = images(), untrained().member(0)
    alone = TRUNK.answer(z, member).log_softmax(-1)
    assert torch.equal(SMALL.said(z, member)[0], alone)


def test_tokens_lie_as_their_patches_do_in_the_image():
    """A picture whose patches say where they are, and back."""
    rows, columns = 4, 4
    where = torch.arange(16.0).view(1, 1, rows, columns)
    pixels = where.repeat_interleave(2, 2).repeat_interleave(2, 3)
    tokens = cut_up(pixels, 2)
    assert torch.equal(as_picture(tokens, (rows, columns))[:, :1], where)


def test_a_classifier_reads_its_own_block_without_the_class_token():
    z, member = images(), untrained().member(0)
    tokens = TRUNK.tokens(z, member, 2)
    for voter in range(2):
        picture = torch.stack(
            [tokens[voter][:, 1 + row * 4 + column] for row in range(4) for column in range(4)], -1
        ).view(len(z), 16, 4, 4)
        own = {
            name.removeprefix(f"voter{voter}."): value
            for name, value in member.items()
            if name.startswith(f"voter{voter}.")
        }
        signal = conv2d(picture, own["convolution0.weight"], own["convolution0.bias"], padding=1)
        signal = signal.relu().flatten(1) @ own["linear0.weight"].T + own["linear0.bias"]
        expected = signal.relu() @ own["linear1.weight"].T + own["linear1.bias"]
        found = SMALL.said(z, member)[1 + voter]
        torch.testing.assert_close(found, expected.log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_the_answer_is_the_mean_of_all_log_probabilities():
    z, member = images(), untrained().member(0)
    said = SMALL.said(z, member)
    torch.testing.assert_close(SMALL.answer(z, member), said.sum(0) / 3)


def test_softened_votes_add_up_to_all_of_them():
    z, member = images(), untrained().member(0)
    soft = SmoothVotes(**vars(SMALL)).answer(z, member)
    torch.testing.assert_close(soft.sum(-1), torch.full((len(z),), 3.0))
    torch.testing.assert_close(soft, SMALL.said(z, member).exp().sum(0))


@pytest.mark.parametrize("read", [0, 1, 3, 4])
def test_a_vote_that_could_be_a_tie_is_refused(read):
    with pytest.raises(BadInput, match=f"^seda.read: {read} .* take one of 2$"):
        SelfEnsemble.on(TRUNK, read, [8], [6])
