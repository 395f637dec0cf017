"""What customers read, on the screen and on the phone, in each of the machine's languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One language. Texts with braces are for `str.format`."""

    machine_number: str
    help_line: str
    scan: str
    preparing: str
    sold_out: str
    not_now: str  # units are there, but a technician has to look first
    just_paid: str
    starting: str
    starting_text: str
    out_of_service: str
    vending: str
    take_goods: str
    take_goods_text: str
    failed: str
    failed_text: str
    failed_by_hand: str  # when the money cannot go back by itself
    later: str  # a reason that is ours to mend: nothing that a customer could do
    no_network: str
    page: str
    countdown: str  # of the one product that was tapped
    tap_to_go_back: str
    # On the phone, as the answer to a scan
    unknown_product: str
    try_again: str
    scan_again: str
    order_closed: str  # in the mini-program
    refund_reason: str
    miniprogram: str  # the name of its code on the screen
    # Where the customer chooses at the machine's own keypad
    keypad: str
    keypad_help: str
    keypad_keys: str
    keypad_left: str
    keypad_hint: str
    keypad_unknown: str
    keypad_too_late: str


WORDS = {
    "zh_CN": Words(
        machine_number="编号 {id}",
        help_line="微信扫码付款，付款后自动出货",
        scan="微信扫一扫",
        preparing="二维码生成中",
        sold_out="已售罄",
        not_now="暂不可售",
        just_paid="已付款",
        starting="正在启动",
        starting_text="请稍候，马上就好",
        out_of_service="暂停服务",
        vending="正在出货，请稍候",
        take_goods="请取走您的商品",
        take_goods_text="{product}，谢谢惠顾",
        failed="抱歉，未能出货",
        failed_text="{amount} 将原路退回，订单尾号 {claim}",
        failed_by_hand="{amount} 将由工作人员退款，订单尾号 {claim}",
        later="机器正在维护，请稍后再来",
        no_network="网络暂时中断，请稍后再来",
        page="第 {page} 页，共 {pages} 页",
        countdown="{seconds} 秒后返回",
        tap_to_go_back="点击二维码以外的地方，返回全部商品",
        unknown_product="本机没有这种商品",
        try_again="系统繁忙，请稍后再试",
        scan_again="请重新扫描屏幕上的二维码",
        order_closed="订单已关闭，请重新下单",
        refund_reason="未能出货，自动退款",
        miniprogram="小程序购买",
        keypad="请在键盘上选择商品",
        keypad_help="选好商品后微信扫码付款，付款后自动出货",
        keypad_keys="按 {keys}",
        keypad_left="还剩 {seconds} 秒",
        keypad_hint="如需更换，请在机器上取消后重新选择",
        keypad_unknown="这个号码没有商品，请重新选择",
        keypad_too_late="付款时间已到，请重新选择",
    ),
    "en": Words(
        machine_number="No. {id}",
        help_line="Scan with WeChat and pay: your goods drop by themselves",
        scan="Scan with WeChat",
        preparing="Making a code",
        sold_out="Sold out",
        not_now="Not available",
        just_paid="Paid",
        starting="Starting",
        starting_text="One moment, please",
        out_of_service="Out of service",
        vending="Vending, please wait",
        take_goods="Please take your goods",
        take_goods_text="{product}. Thank you!",
        failed="Sorry, this could not be delivered",
        failed_text="{amount} is on its way back to you. Order ending in {claim}",
        failed_by_hand="Our staff will refund {amount}. Order ending in {claim}",
        later="We are working on it. Please come back later",
        no_network="The network is down. Please come back later",
        page="Page {page} of {pages}",
        countdown="All products again in {seconds} s",
        tap_to_go_back="Tap beside the code to go back",
        unknown_product="This machine does not sell that",
        try_again="Busy at the moment: please try again in a moment",
        scan_again="Please scan the code on the screen again",
        order_closed="This order is closed: please make a new one",
        refund_reason="Could not be delivered: automatic refund",
        miniprogram="Mini-program",
        keypad="Choose on the keypad",
        keypad_help="Choose, then scan with WeChat and pay: your goods drop by themselves",
        keypad_keys="Press {keys}",
        keypad_left="{seconds} s left",
        keypad_hint="To change it, cancel at the machine and choose again",
        keypad_unknown="There is nothing under that number: please choose again",
        keypad_too_late="The time to pay is over: please choose again",
    ),
}


class Speaker:
    """The language that the machine speaks to customers now; a technician may change it while it runs."""

    def __init__(self, language: str) -> None:
        self.language = language

    @property
    def words(self) -> Words:
        """Everything that it says, in that language."""
        return WORDS[self.language]


def price_text(fen: int) -> str:
    """Money as it is read: ¥3.50."""
    return f"¥{fen // 100}.{fen % 100:02d}"
