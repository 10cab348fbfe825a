"""The short hash of a stream id, for logs: FNV-1a (64 bits) with the finaliser of MurmurHash3, as in all programs."""

_MASK = (1 << 64) - 1


def short_hash(stream_id: str) -> str:
    """Eight hex digits that identify a stream in logs without revealing the id."""
    value = 0xCBF29CE484222325
    for byte in stream_id.encode():
        value = (value ^ byte) * 0x100000001B3 & _MASK
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return f"{(value ^ value >> 33) >> 32:08x}"
