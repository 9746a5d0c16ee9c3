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
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor) and not one._is_view():
                self.numbers = max(self.numbers, one.untyped_storage().size() // one.itemsize)
        return found
