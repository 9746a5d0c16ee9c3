"""What is proved about patients is read back as it was written, and nothing else is taken for it."""

from dataclasses import fields

import pytest
import torch

from pipeline.files import BadInput, write_tensors
from pipeline.verified import Verified


def verified():
    generator = torch.Generator().manual_seed(0)
    inf, nan = torch.inf, torch.nan
    return Verified(
        patients=torch.tensor([3, 0, 7]),
        y=torch.tensor([1, 0, 1]),
        margin=torch.randn(2, 3, generator=generator, dtype=torch.float64),
        robust_below=torch.tensor([[0.1, 0.0, inf], [0.2, 0.3, 0.4]], dtype=torch.float64),
        breaks_at=torch.tensor([[0.2, 0.0, inf], [0.2, 0.3, inf]], dtype=torch.float64),
        counterexample=torch.tensor([[[1.5, nan]] * 3] * 2),
        counter_margin=torch.randn(2, 3, generator=generator, dtype=torch.float64),
        alone=torch.tensor([[[inf, nan]] * 3] * 2, dtype=torch.float64),
        alone_value=torch.full((2, 3, 2), nan, dtype=torch.float64),
    )


def tensors(one):
    return {field.name: getattr(one, field.name) for field in fields(one)}


def test_everything_reads_back_bit_for_bit(tmp_path):
    one = verified()
    one.save(tmp_path / "clinical.safetensors")
    again = Verified.load(tmp_path / "clinical.safetensors")
    for name, tensor in tensors(one).items():
        other = getattr(again, name)
        assert other.dtype == tensor.dtype, name
        assert torch.equal(other.view(torch.uint8), tensor.view(torch.uint8)), name  # missing values and infinities included


def test_the_same_results_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        verified().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("change", [lambda t: t.pop("alone"), lambda t: t.update(more=torch.zeros(1))], ids=["lacks", "more"])
def test_another_file_is_not_taken_for_it(tmp_path, change):
    content = tensors(verified())
    change(content)
    write_tensors(tmp_path / "other", content)
    with pytest.raises(BadInput, match=r"other: not what was proved .*dvc repro"):
        Verified.load(tmp_path / "other")


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(BadInput, match=r"none: cannot be read .*dvc repro"):
        Verified.load(tmp_path / "none")
