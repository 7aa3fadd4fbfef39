class PortFound:
    device: str
    description: str
    vid: int | None
    pid: int | None

def comports(include_links: bool = ...) -> list[PortFound]: ...
