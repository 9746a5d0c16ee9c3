"""Signing scans at the source: a key pair, and a manifest of their digests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cohort.command import may_enter_git, schema_of
from pipeline.data.provenance import Manifest, digests_of
from pipeline.files import BadInput, repository_root
from pipeline.serving.private_keys import make_signing_key, signing_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_scans(
    manifest: str,
    key: str,
    *,
    data: str | None = None,
    pixels_only: bool = False,
    folder: Path | None = None,
) -> int:
    """Writes a signed manifest of a data set's scans; nothing is ever overwritten.

    Args:
        manifest: the file to write.
        key: the private key, outside the project; it is made where there is none.
        data: the name of the schema in `conf/data/`; None = that of `params.yaml`.
        pixels_only: leave out what stands beside the scans, as where labels come later.
        folder: of the project; None = the repository that this folder belongs to.

    Returns:
        the exit status.

    Raises:
        BadInput: the manifest exists, the key lies in the project or is open to others, or the
            scans cannot be read.
    """
    root = folder or repository_root()
    cfg = schema_of(data, root)
    if cfg.image is None:
        raise BadInput(f"{cfg.name}: holds records, no scans; a manifest is of scans")
    place, secret = Path(manifest), Path(key)
    if place.exists():
        raise BadInput(f"{manifest}: exists; remove it, or take another name")
    if secret.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{key}: lies in the project; a private key stays with who takes the scans")
    if not os.access(place.resolve().parent, os.W_OK):
        raise BadInput(f"{manifest}: its folder is missing, or cannot be written")
    digests = digests_of(cfg, root)
    private = _key_at(secret, key)
    made = Manifest.of(digests, pixels_only=pixels_only)
    made.write(place, private)
    public = private.public_key().public_bytes_raw().hex()
    print(f"{manifest}: {len(made.scans)} scans signed ({', '.join(made.covers)})")
    print("treat it as the cohort: who holds a small scan can tell whether it is in it")
    if may_enter_git(place):
        print(f"{manifest}: git may take it; move it to data/local/, or name it in .gitignore")
    print(f"public key, to be handed on by another way than the scans: {public}")
    print(f'conf/data/{cfg.name}.yaml: image: {{..., manifest: {manifest}, key: "{public}"}}')
    return 0


def _key_at(path: Path, name: str) -> "Ed25519PrivateKey":
    """The key of a file, which only its owner may read; a new one where there is no file."""
    if path.exists():
        return signing_key(path, name=name)
    made = make_signing_key(path, name=name)
    print(f"{name}: a new private key; keep it, and keep it secret")
    return made
