"""What hospitals and the server call things on the wire; without torch and NVFlare."""

WEIGHTS = "numpy_key"  # (M, P) float32; the name under which NVFlare keeps an array
NUMBERS = "records"  # (M,) float32


def called(number: int) -> str:
    """The name by which the server knows a hospital; it sorts as the number does."""
    return f"hospital-{number + 1:04d}"
