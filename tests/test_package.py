"""The package's front door: what ``import tom_ref`` offers without loading it."""

from __future__ import annotations

import pytest

import tom_ref


def test_every_public_name_can_be_had_and_is_listed() -> None:
    """Names load on first use; a wrong one is an ``AttributeError`` as anywhere."""
    assert set(tom_ref.__all__) <= set(dir(tom_ref))
    for name in tom_ref.__all__:
        assert getattr(tom_ref, name) is not None
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = tom_ref.frobnicate
