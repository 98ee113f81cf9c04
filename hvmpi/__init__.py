"""Monte Carlo of hidden-valley models over MPI, from the generator to training files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvmpi.analysis.opening import open_products as open  # noqa: A004 - hvmpi.open
    from hvmpi.campaign.status import Status, read_status

__all__ = ["Status", "__version__", "open", "read_status"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Payloads import hvmpi too, and most have no use for what reads a status file.
    if name in ("Status", "read_status"):
        from hvmpi.campaign import status

        return getattr(status, name)
    if name == "open":
        from hvmpi.analysis.opening import open_products

        return open_products
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
