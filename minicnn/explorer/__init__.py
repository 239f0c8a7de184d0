"""A page in which a network can be explored on pictures, in the browser: from its mistakes down to a single multiplication."""

from .content import explore
from .page import Page

__all__ = ["Page", "explore"]
