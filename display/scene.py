"""What is to be seen on the customer's screen, as frozen values. Every word comes from the caller."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class TileState(enum.Enum):
    """What a customer may do with a product now."""

    FOR_SALE = "for_sale"  # `code` is shown
    PREPARING = "preparing"  # a code is being made: a placeholder, never an old code
    PAID = "paid"  # somebody has just paid for it
    SOLD_OUT = "sold_out"  # grey, no code


@dataclass(frozen=True)
class Tile:
    """One product. Only a tile FOR_SALE has a code."""

    product_id: str
    name: str
    price: str  # as it is to be read: "¥3.50"
    picture: Path | None
    state: TileState
    caption: str  # the line at the code: "微信扫一扫", "已售罄", "正在生成…", "已付款", "按 23"
    code: str | None = None  # the text of the QR code


@dataclass(frozen=True)
class LargeCode:
    """One product alone, its code as large as the screen allows: somebody has chosen it."""

    tile: Tile  # PREPARING and PAID show a placeholder
    countdown: str = ""  # how long it stands: "还剩 58 秒"
    hint: str = ""  # how to leave: "点击其他位置返回"


class NoticeKind(enum.Enum):
    """The mood of a notice."""

    VENDING = "vending"
    TAKE_GOODS = "take_goods"
    FAILED = "failed"


@dataclass(frozen=True)
class SlotMark:
    """The machine's front as rows of slots, one of them marked: where the goods come from."""

    rows: tuple[tuple[str, ...], ...]
    marked: str


@dataclass(frozen=True)
class Notice:
    """What happens to somebody's purchase now. VENDING covers the screen; the others take the header's place."""

    kind: NoticeKind
    title: str  # "正在出货，请稍候"
    text: str  # "可口可乐" or "¥3.50 将原路退回，订单尾号 7F3K2A"
    picture: Path | None = None
    product_id: str = ""  # colours and letters the drawn stand-in where there is no picture
    slots: SlotMark | None = None


@dataclass(frozen=True)
class Poster:
    """A picture for passers-by, shown beside the tiles where it costs them nothing."""

    path: Path
    stamp: int  # tells one content of the file from the next


class Phase(enum.Enum):
    """The state of the whole machine as a customer sees it."""

    STARTING = "starting"
    FOR_SALE = "for_sale"
    KEYPAD = "keypad"  # products and prices without codes: the customer chooses on the machine's own keypad
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True)
class Scene:
    """Everything that is to be seen.

    `tiles` have their codes painted in FOR_SALE only; `large` takes their place in FOR_SALE and KEYPAD.
    """

    phase: Phase
    machine_name: str
    machine_number: str  # for claims: "编号 lobby-1"
    help_line: str  # "微信扫码付款，自动出货"
    headline: str = ""  # KEYPAD: what to do; STARTING and OUT_OF_SERVICE: the large words
    explanation: str = ""  # STARTING and OUT_OF_SERVICE: the reason in a customer's words
    tiles: tuple[Tile, ...] = ()
    large: LargeCode | None = None
    poster: Poster | None = None
    notice: Notice | None = None
    page_label: str = "{page} / {pages}"  # how a page counter reads, when the tiles need more than one page

    @property
    def calm(self) -> bool:
        """Whether something is for sale, and nobody is being served."""
        selling = self.phase in {Phase.FOR_SALE, Phase.KEYPAD}
        return selling and bool(self.tiles) and self.large is None and self.notice is None
