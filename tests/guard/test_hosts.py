"""Addresses that lead inside, however they are written."""

from __future__ import annotations

import pytest

from tillage.guard.hosts import may_reach, networks

INSIDE = """127.0.0.1 127.8.8.8 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1
192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12::1 ff02::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 2001:db8::1
localhost 127.1 2130706433 0x7f000001 example.org"""
OUTSIDE = "93.184.215.14 8.8.8.8 172.32.0.1 2606:2800:21f:cb07:6820:80da:af6b:8b2c ::ffff:8.8.8.8 64:ff9b::808:808"


@pytest.mark.parametrize("address", INSIDE.split())
def test_what_leads_inside_is_refused(address: str) -> None:
    """A name is no address: what it stands for is judged, and not the name."""
    assert not may_reach(address)


@pytest.mark.parametrize("address", OUTSIDE.split())
def test_what_leads_outside_is_let_through(address: str) -> None:
    assert may_reach(address)


def test_what_is_allowed_is_let_through_and_no_more() -> None:
    allowed = networks(["10.1.0.0/16", "fd12::/64"])
    assert [may_reach(a, allowed) for a in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::5", "10.2.0.1", "127.0.0.1")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="does not appear"):
        networks(["everything"])
