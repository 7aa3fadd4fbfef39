from collections.abc import Iterator, Sequence

MODE_NUMBER: int
MODE_ALPHA_NUM: int
MODE_8BIT_BYTE: int
ALPHA_NUM: bytes
BIT_LIMIT_TABLE: list[list[int]]

class QRData:
    mode: int
    data: bytes

def optimal_data_chunks(data: str | bytes, minimum: int = ...) -> Iterator[QRData]: ...
def mode_sizes_for_version(version: int) -> dict[int, int]: ...
def lost_point(modules: Sequence[Sequence[bool | None]]) -> int: ...
