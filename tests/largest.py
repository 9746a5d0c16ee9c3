"""How large the tables are that torch makes: what a computation asks for, whatever is free."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    """Within it `numbers` is the size of the largest tensor that any operation returned."""

    numbers = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """The operation itself; views of what exists cost nothing and do not count."""
        given = {one.untyped_storage().data_ptr() for one in _tensors((args, kwargs))}
        found = func(*args, **(kwargs or {}))
        for one in _tensors(found):
            if one.untyped_storage().data_ptr() not in given:
                self.numbers = max(self.numbers, one.untyped_storage().nbytes() // one.itemsize)
        return found


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [one for one in tree_leaves(tree) if isinstance(one, torch.Tensor)]
