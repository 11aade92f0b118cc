import pytest

from cli.sizes import human_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0B"), (999, "999B"), (1000, "1kB"), (4_260_000, "4.26MB")),
        *((124_200_000, "124MB"), (1_239_999_999, "1.24GB"), (10**18, "1000PB")),
    ],
)
def test_sizes_are_docker_s(count: int, text: str) -> None:
    assert human_size(count) == text
