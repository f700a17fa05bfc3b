"""Which addresses of the network a plan may lead to: those of everybody, and no inner ones that it does not name.

A page, or a redirect, can name an address inside our network (a database, a cloud's 169.254.169.254) and have us ask
it what its author cannot. So each address that a name stands for is judged before it is connected to, and all of them
must pass. Sources: RFC 6890 (special addresses), RFC 4291 2.5.5 (IPv4 inside IPv6), OWASP SSRF Prevention.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from tillage.core.errors import Denied, Unavailable

Network: TypeAlias = "IPv4Network | IPv6Network"

_NAT64 = IPv6Network("64:ff9b::/96")


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Networks as a plan names them; raises ValueError for what is none.

    >>> networks(["127.0.0.0/8", "10.1.2.3"])
    (IPv4Network('127.0.0.0/8'), IPv4Network('10.1.2.3/32'))
    """
    return tuple(ip_network(text) for text in given)


def may_reach(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether an address is one of the public internet, or of a network that is allowed.

    >>> may_reach("93.184.215.14"), may_reach("169.254.169.254"), may_reach("::ffff:127.0.0.1")
    (True, False, False)
    >>> may_reach("127.0.0.1", networks(["127.0.0.0/8"]))
    True
    """
    try:
        real = _inner(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(real.version == network.version and real in network for network in allowed):
        return True
    return real.is_global and not real.is_multicast and not real.is_reserved


def resolved(host: str, allowed: Iterable[Network] = ()) -> str:
    """An address that a host's name stands for, once all of them have been judged.

    Raises Denied where one leads inside, Unavailable for a name that stands for none.

    >>> resolved("127.0.0.1", networks(["127.0.0.0/8"]))
    '127.0.0.1'
    >>> resolved("127.0.0.1")
    Traceback (most recent call last):
    tillage.core.errors.Denied: The address leads to 127.0.0.1, which is inside our network. If that is meant, ...
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise Unavailable(
            f"No address is known of the host '{host}'.", fix="Check the name and the network."
        ) from error
    known = tuple(allowed)
    for address in found:
        if not may_reach(address, known):
            raise inside(address)
    return found[0]


def inside(address: str) -> Denied:
    """The refusal of an address inside our network.

    >>> inside("10.0.0.1").exit_code
    77
    """
    return Denied(
        f"The address leads to {address}, which is inside our network.",
        fix=f"If that is meant, allow it: allow_private: [{address}]",
    )


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to, where it leads to one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
