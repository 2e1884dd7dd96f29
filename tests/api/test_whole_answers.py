"""What an answer goes out in."""

import asyncio

from ipt_workflow.api.whole_answers import Held


class Transport:
    """Keeps what each write was given."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.closing = False

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.writes.append(list(pieces))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


def written(write) -> list[list[bytes]]:
    async def run() -> list[list[bytes]]:
        transport = Transport()
        write(Held(transport), transport)
        await asyncio.sleep(0)
        return transport.writes

    return asyncio.run(run())


def test_head_and_body_go_out_together():
    def write(wire, transport):
        wire.write(b"head")
        wire.write(b"body")
        assert transport.writes == [[b"head", b"body"]]

    assert written(write) == [[b"head", b"body"]]


def test_what_nothing_follows_goes_out_when_the_loop_comes_round():
    def write(wire, transport):
        wire.write(b"head")
        assert transport.writes == []
        wire.write(b"")

    assert written(write) == [[b"head"]]


def test_a_head_alone_goes_out():
    assert written(lambda wire, _: wire.write(b"head")) == [[b"head"]]


def test_pieces_keep_their_order():
    def write(wire, _):
        for piece in (b"1", b"2", b"3"):
            wire.write(piece)

    assert b"".join(piece for pieces in written(write) for piece in pieces) == b"123"


def test_closing_sends_what_is_held_first():
    def write(wire, transport):
        wire.write(b"head")
        wire.close()
        assert transport.closing

    assert written(write) == [[b"head"]]


def test_nothing_is_sent_to_a_client_that_has_gone():
    def write(wire, transport):
        wire.write(b"head")
        transport.closing = True

    assert written(write) == []
