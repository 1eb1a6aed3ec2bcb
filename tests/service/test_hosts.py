"""Where a node listens, and where it is found."""

import pytest

from sse_push.service.hosts import local_url, split_hosts, takes_both_families, url_of


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        (" 127.0.0.1 , [::1],127.0.0.1,", ("127.0.0.1", "::1")),
        ("unix:/run/a.sock,localhost", ("unix:/run/a.sock", "localhost")),
    ],
)
def test_hosts_are_a_list(text: str, hosts: tuple[str, ...]) -> None:
    assert split_hosts(text) == hosts


@pytest.mark.parametrize("text", ["", ",", "unix:", "unix:relative", "unix:/" + "x" * 107])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must name|needs an absolute path"):
        split_hosts(text)


@pytest.mark.parametrize(
    ("host", "hosts", "both"),
    [
        ("::", ["::"], True),
        ("::", ["::", "0.0.0.0"], False),
        ("::1", ["::1"], False),
        ("0.0.0.0", ["::"], False),
    ],
)
def test_all_of_ipv6_takes_ipv4_unless_that_is_listed(host: str, hosts: list[str], both: bool) -> None:
    assert takes_both_families(host, hosts) is both


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["::"], "http://[::1]:80"),
        (["0.0.0.0"], "http://127.0.0.1:80"),
        (["unix:/a", "a.example"], "http://a.example:80"),
        (["unix:/a"], None),
    ],
)
def test_same_machine_finds_a_node(hosts: list[str], url: str | None) -> None:
    assert local_url(hosts, 80) == url


def test_url_of_a_path_is_itself() -> None:
    assert url_of("unix:/run/a.sock", 80) == "unix:/run/a.sock"
