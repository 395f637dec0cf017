"""What can keep a machine from selling: each trouble as a sentence, and what a technician does about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trouble:
    """One kind of trouble. Texts with braces are for `str.format`; English is also what the log says."""

    en: str
    en_advice: str
    zh: str
    zh_advice: str

    def texts(self, values: Mapping[str, Any]) -> Mapping[str, str]:
        """The sentence in each language."""
        return {"en": self.en.format_map(values), "zh_CN": self.zh.format_map(values)}

    @property
    def advice(self) -> Mapping[str, str]:
        """What to do, in each language."""
        return {"en": self.en_advice, "zh_CN": self.zh_advice}


TROUBLES: Mapping[str, Trouble] = {
    "switched_off": Trouble(
        "A technician has taken the machine out of service: {text}",
        "Put it back into service when it may sell again.",
        "技术员已暂停服务：{text}",
        "可以售卖时请恢复服务。",
    ),
    "dispenser": Trouble(
        "{reason}",
        "Look at the board's power and its cable. It is found again by itself.",
        "主控板不可用：{reason}",
        "检查主控板的电源和连接线。恢复后会自动重新连接。",
    ),
    "journal": Trouble(
        "{error}",
        "Make room on the disk, or exchange a card that is read-only. It is tried again every second.",
        "账本无法写入：{error}",
        "清理磁盘空间；如存储卡变为只读，请更换。系统每秒自动重试。",
    ),
    "journal_damaged": Trouble(
        "the journal is damaged: {error}; restore a backup",
        "Stop the machine, keep the damaged file, put the latest backup in its place.",
        "账本已损坏：{error}",
        "停机，保留损坏的文件，用最近的备份替换。",
    ),
    "disk": Trouble(
        "only {free} MiB are free in {folder}: make room",
        "Delete what does not belong to the machine, or archive old events (kiosk journal archive).",
        "{folder} 仅剩 {free} MiB 空间",
        "删除无关文件，或归档旧记录（kiosk journal archive）。",
    ),
    "wechat_unreachable": Trouble(
        "WeChat Pay cannot be reached: {error}",
        "Look at the router and the SIM card. Codes come back by themselves with the network.",
        "无法连接微信支付：{error}",
        "检查路由器和 SIM 卡。网络恢复后二维码会自动出现。",
    ),
    "wechat_silent": Trouble(
        "WeChat Pay has not answered yet",
        "Wait for half a minute after switching on; then look at the router and the SIM card.",
        "微信支付尚未应答",
        "开机后请等待半分钟；仍未恢复时检查路由器和 SIM 卡。",
    ),
    "wechat_refuses": Trouble(
        "WeChat Pay refuses our orders: {error}",
        "This is a matter of the merchant account: compare app_id, mch_id and the key with the merchant platform.",
        "微信支付拒绝下单：{error}",
        "属商户号问题：请与商户平台核对 app_id、mch_id 和密钥。",
    ),
    "clock": Trouble(
        "the clock is {seconds:.0f} s off WeChat's: check NTP",
        "Set the board's clock, or let it reach a time server.",
        "本机时钟与微信相差 {seconds:.0f} 秒",
        "校准时钟，或检查能否访问时间服务器（NTP）。",
    ),
    "clock_behind": Trouble(
        "the clock says {now}, but it is later than {known}: check NTP",
        "Nothing is sold until the clock is right. Let the board reach a time server, or set its clock.",
        "本机时钟为 {now}，但现在肯定晚于 {known}",
        "时钟校准前暂停售卖。请检查能否访问时间服务器（NTP），或手动校准时钟。",
    ),
    "clock_certificate": Trouble(
        "the clock says {now}, when WeChat Pay's certificate is not valid: check NTP",
        "Set the board's clock, or let it reach a time server. If it is right, update the package ca-certificates.",
        "本机时钟为 {now}，此时微信支付的证书无效",
        "校准时钟，或检查能否访问时间服务器（NTP）。若时钟正确，请更新 ca-certificates 软件包。",
    ),
    "certificate": Trouble(
        "the merchant certificate for refunds ends on {date}",
        "Get a new one on the merchant platform and replace client_cert_file and client_key_file.",
        "退款用的商户证书将于 {date} 到期",
        "在商户平台申请新证书，替换 client_cert_file 和 client_key_file。",
    ),
    "slot": Trouble(
        "Slot {slot} is off sale: {fault}",
        "Look into the slot, free it, try it with a test vend, then say that the jam is cleared.",
        "货道 {slot} 已停售：{fault}",
        "查看并清理货道，试出货，然后点“已排除故障”。",
    ),
    "sold_out": Trouble("{name_en} is sold out", "Fill it up.", "{name} 已售罄", "请补货。"),
    "refund_failed": Trouble(
        "{count} refund(s) need a person",
        "Open the order below: it tells why. Mend that and ask for the refund again.",
        "{count} 笔退款需要人工处理",
        "打开下方订单查看原因，解决后重新申请退款。",
    ),
    "in_doubt": Trouble(
        "{count} order(s) are in doubt",
        "Look whether the goods fell. If not, refund the order below.",
        "{count} 笔订单无法确认是否出货",
        "查看商品是否掉落。若未掉落，请在下方退款。",
    ),
    "unsettled": Trouble(
        "{count} order(s) are paid or being refunded for longer than they should be",
        "Open the order below; if WeChat Pay and the board are well and it stays, send a support file.",
        "{count} 笔订单付款或退款处理时间过长",
        "打开下方订单查看；若微信支付和主控板均正常，请导出支持文件。",
    ),
    "to_review": Trouble(
        "{count} order(s) count as vended although the machine did not say so",
        "Look whether the goods came out. If not, refund the order below.",
        "{count} 笔订单按已出货处理，但机器未确认",
        "查看商品是否掉落。若未掉落，请在下方退款。",
    ),
    "price": Trouble(
        "The machine asks {asked} for slot {slot}, kiosk.ini says {ini}: customers pay what the machine asks",
        "Make the two the same: in the machine's own price menu, or in kiosk.ini.",
        "机器设置的货道 {slot} 价格为 {asked}，kiosk.ini 中为 {ini}：按机器价格收款",
        "请统一价格：修改机器自身的价格设置，或修改 kiosk.ini。",
    ),
    "screen": Trouble(
        "{error}",
        "Look at the screen's cable. Nothing is sold by code while customers cannot see one.",
        "屏幕故障：{error}",
        "检查屏幕连接线。",
    ),
}
