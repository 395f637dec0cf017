"""Scenes for the tests of the screen."""

from __future__ import annotations

from dataclasses import replace

from display.scene import LargeCode, Notice, NoticeKind, Phase, Scene, SlotMark, Tile, TileState

GOODS = (
    ("cola", "可口可乐", "Coca-Cola", "¥3.50"),
    ("tea", "康师傅冰红茶", "Iced tea", "¥3.00"),
    ("water", "农夫山泉", "Mineral water", "¥2.00"),
    ("juice", "100%鲜榨橙汁（不加糖）", "Freshly pressed orange juice", "¥12.80"),
    ("coffee", "拿铁咖啡", "Latte", "¥9.90"),
    ("milk", "纯牛奶", "Whole milk", "¥4.50"),
    ("crisps", "乐事薯片原味", "Potato crisps, salted", "¥6.00"),
    ("biscuits", "奥利奥夹心饼干", "Chocolate sandwich biscuits", "¥7.50"),
)
VENDING = Notice(
    NoticeKind.VENDING,
    "正在出货，请稍候",
    "可口可乐",
    None,
    "cola",
    SlotMark((("11", "12", "13"), ("21", "22", "23")), "22"),
)
TAKE_GOODS = Notice(NoticeKind.TAKE_GOODS, "请取走您的商品", "可口可乐，谢谢惠顾")
FAILED = Notice(NoticeKind.FAILED, "抱歉，未能出货", "¥3.50 将原路退回，订单尾号 7F3K2A")


def code(number: int, *, long: bool = False) -> str:
    """What WeChat gives in mode two (37 characters), or a mode-one link of the usual 190."""
    if not long:
        return f"weixin://wxpay/bizpayurl?pr={number:09d}"
    return (
        "weixin://wxpay/bizpayurl?appid=wx8888888888888888&mch_id=1900000109"
        f"&nonce_str={number:032x}&product_id=cola{number}&time_stamp=1795463023&sign={number:032X}"
    )


def scene(
    count: int,
    *,
    long: bool = False,
    english: bool = False,
    notice: Notice | None = None,
    phase: Phase = Phase.FOR_SALE,
    states: dict[int, TileState] | None = None,
    first_code: int = 0,
) -> Scene:
    """A machine with `count` products, all for sale but those that `states` names by their place."""
    tiles = []
    for place in range(count):
        product, chinese, name, price = GOODS[place % len(GOODS)]
        state = (states or {}).get(place, TileState.FOR_SALE)
        captions = {
            TileState.FOR_SALE: "Scan with WeChat" if english else "微信扫一扫",
            TileState.PREPARING: "二维码生成中",
            TileState.PAID: "已付款",
            TileState.SOLD_OUT: "已售罄",
        }
        text = code(first_code + place, long=long) if state is TileState.FOR_SALE else None
        shown = name if english else chinese
        tiles.append(Tile(f"{product}{place}", shown, price, None, state, captions[state], text))
    return Scene(
        phase=phase,
        machine_name="Lobby drinks" if english else "大堂饮料机",
        machine_number="编号 lobby-1",
        help_line="微信扫码付款，付款后自动出货",
        headline="暂停服务" if phase is Phase.OUT_OF_SERVICE else "正在启动",
        explanation="网络暂时中断，请稍后再来",
        tiles=tuple(tiles),
        notice=notice,
        page_label="第 {page} 页，共 {pages} 页",
    )


def chosen(shown: Scene, place: int = 0, countdown: str = "还剩 58 秒") -> Scene:
    """The same machine after somebody chose the product at that place."""
    return replace(shown, large=LargeCode(shown.tiles[place], countdown, "点击其他位置返回"))


def keypad(shown: Scene, *, english: bool = False) -> Scene:
    """The same machine with a keypad of its own: a number to press for each product, no code."""
    tiles = (
        replace(
            tile,
            code=None,
            caption=tile.caption if tile.state is TileState.SOLD_OUT else f"{'Press' if english else '按'} {number}",
        )
        for number, tile in enumerate(shown.tiles, 11)
    )
    headline = "Choose on the keypad" if english else "请在机器键盘上选择商品"
    return replace(shown, phase=Phase.KEYPAD, headline=headline, tiles=tuple(tiles))
