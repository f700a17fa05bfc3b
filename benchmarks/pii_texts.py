"""Labelled texts with personal data, made from a seed: other templates and other countries than the published set has.

Values are drawn by the rules of whoever issues them (check digits computed here, apart from the package), and stand in
sentences beside numbers that are nobody's: orders, versions, amounts, times, hashes. Nothing in the recogniser was
tuned on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

HOLE = re.compile(r"\{(\w+)\}")


@dataclass
class Labelled:
    """A text, and (start, end, type) of the personal data in it."""

    text: str
    spans: list[tuple[int, int, str]] = field(default_factory=list)


def luhn_digit(body: str) -> str:
    """The digit that makes Luhn's sum a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 * (value > 9)
    return str(-total % 10)


def digits(draw: Random, n: int) -> str:
    """So many digits, the first not zero."""
    return str(draw.randrange(10 ** (n - 1), 10**n))


def grouped(text: str, mark: str, *sizes: int) -> str:
    """The text in groups of these sizes."""
    out, at = [], 0
    for size in sizes:
        out.append(text[at : at + size])
        at += size
    return mark.join([*out, text[at:]] if at < len(text) else out)


def email(draw: Random) -> str:
    name = draw.choice(["j.doe", "maria_lopez", "tnguyen", "ravi-k", "o.brien", "zhang.wei", "wang_fang", "info.desk7"])
    home = draw.choice(["example.com", "mail.example.org", "corp.example.co.uk", "qq.com", "163.com", "example.com.cn"])
    return f"{name}{draw.choice(['', str(draw.randrange(99))])}@{home}"


def card(draw: Random) -> str:
    prefix, length = draw.choice([("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("2223", 16)])
    body = prefix + "".join(str(draw.randrange(10)) for _ in range(length - len(prefix) - 1))
    number = body + luhn_digit(body)
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    return draw.choice([number, number, grouped(number, " ", *sizes), grouped(number, "-", *sizes)])


def iban(draw: Random) -> str:
    country, body = draw.choice(
        [
            ("DE", digits(draw, 18)),
            ("GB", "NWBK" + digits(draw, 14)),
            ("FR", digits(draw, 23)),
            ("NL", "ABNA" + digits(draw, 10)),
        ]
    )
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    return draw.choice([whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))])


def phone_en(draw: Random) -> str:
    area, exchange, line = (
        f"{draw.randrange(2, 10)}{draw.randrange(10, 99)}",
        f"{draw.randrange(2, 10)}{draw.randrange(10, 99)}",
        digits(draw, 4),
    )
    return draw.choice(
        [
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"+1 {area} {exchange} {line}",
            f"{area}.{exchange}.{line}",
            f"+44 20 {digits(draw, 4)} {digits(draw, 4)}",
            f"07{digits(draw, 3)} {digits(draw, 6)}",
            f"+49 30 {digits(draw, 7)}",
            f"0{draw.randrange(1, 6)} {' '.join(digits(draw, 2) for _ in range(4))}",
            f"+91 {digits(draw, 5)} {digits(draw, 5)}",
            f"+61 4{digits(draw, 2)} {digits(draw, 3)} {digits(draw, 3)}",
            f"+86 10 {digits(draw, 4)} {digits(draw, 4)}",
        ]
    )


def phone_zh(draw: Random) -> str:
    mobile = f"1{draw.choice(['38', '39', '50', '59', '77', '86', '98', '66'])}{draw.randrange(10**8):08d}"
    city = draw.choice(["010", "021", "0755", "0571", "028"])
    return draw.choice(
        [
            mobile,
            mobile,
            mobile,
            grouped(mobile, "-", 3, 4, 4),
            grouped(mobile, " ", 3, 4, 4),
            f"+86 {mobile}",
            f"86-{mobile}",
            f"{city}-{digits(draw, 8)}",
            f"({city}){digits(draw, 8)}",
            "".join(chr(ord(c) + 0xFEE0) for c in mobile),
        ]
    )


def ssn(draw: Random) -> str:
    area = draw.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03d}-{draw.randrange(1, 100):02d}-{draw.randrange(1, 10000):04d}"


def ip(draw: Random) -> str:
    four = ".".join(str(draw.randrange(11, 255)) for _ in range(4)).replace("127.", "128.", 1)
    six = ":".join(f"{draw.randrange(65536):x}" for _ in range(8))
    return draw.choice([four, four, six, f"2001:db8::{draw.randrange(16, 65536):x}"])


def url(draw: Random) -> str:
    return draw.choice(["https://", "http://", "www."]) + draw.choice(
        ["example.org", "blog.example.net/u/jane", "example.cn/p?id=7"]
    )


def mac(draw: Random) -> str:
    return draw.choice([":", "-"]).join(f"{draw.randrange(256):02x}" for _ in range(6))


def resident(draw: Random) -> str:
    born = f"{draw.randrange(1950, 2015)}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}"
    body = draw.choice(["110105", "310104", "440305", "510107", "330106"]) + born + f"{draw.randrange(1000):03d}"
    total = sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(body))
    return body + "10X98765432"[total % 11]


def union(draw: Random) -> str:
    body = "62" + "".join(str(draw.randrange(10)) for _ in range(draw.choice([13, 16])))
    number = body + luhn_digit(body)
    return draw.choice([number, " ".join(number[i : i + 4] for i in range(0, len(number), 4))])


def credit(draw: Random) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = "91" + draw.choice(["110105", "310104", "440305"]) + "".join(draw.choice(alphabet) for _ in range(9))
    total = sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + alphabet[(31 - total % 31) % 31]


def plate(draw: Random) -> str:
    tail = draw.choice([digits(draw, 5), f"D{digits(draw, 5)}", f"{draw.choice('ABCEFGHJK')}{digits(draw, 4)}"])
    return draw.choice("京沪粤浙苏鲁川渝") + draw.choice("ABCDEF") + tail


def passport_en(draw: Random) -> str:
    return draw.choice([digits(draw, 9), f"{draw.choice('ABCKLP')}{digits(draw, 8)}"])


def passport_zh(draw: Random) -> str:
    return draw.choice([f"E{digits(draw, 8)}", f"G{digits(draw, 8)}", f"E{draw.choice('ABCD')}{digits(draw, 7)}"])


def birth_en(draw: Random) -> str:
    year, month, day = draw.randrange(1940, 2010), draw.randrange(1, 13), draw.randrange(1, 29)
    name = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ][month - 1]
    return draw.choice(
        [
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02d}/{month:02d}/{year}",
            f"{year}-{month:02d}-{day:02d}",
        ]
    )


def birth_zh(draw: Random) -> str:
    year, month, day = draw.randrange(1940, 2010), draw.randrange(1, 13), draw.randrange(1, 29)
    return draw.choice(
        [
            f"{year}年{month}月{day}日",
            f"{year}-{month:02d}-{day:02d}",
            f"{year}/{month}/{day}",
            f"{year}.{month:02d}.{day:02d}",
        ]
    )


def nobody(draw: Random) -> str:
    """A number that is nobody's."""
    return draw.choice(
        [
            f"{draw.randrange(2015, 2026)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
            f"{draw.randrange(1, 9)}.{draw.randrange(20)}.{draw.randrange(30)}",
            f"{draw.randrange(10**12, 2 * 10**12)}",
            f"{draw.random() * 1000:.2f}",
            f"{draw.getrandbits(64):016x}",
            f"{draw.getrandbits(160):040x}",
            f"SKU-{digits(draw, 6)}",
            f"978-{digits(draw, 1)}-{digits(draw, 5)}-{digits(draw, 3)}-{digits(draw, 1)}",
            f"{draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}",
            f"{digits(draw, 8)}-{digits(draw, 4)}",
            f"{draw.randrange(1, 999):,},{digits(draw, 3)}",
            f"{digits(draw, 20)}",
            f"#{digits(draw, 7)}",
        ]
    )


ENGLISH = (
    "Hi, this is Dana. You can reach me on {phone} or by mail at {email}.",
    "Invoice {nobody} was paid with {credit_card} yesterday.",
    "The applicant (born {date_of_birth}) holds passport no. {passport}.",
    "Wire the deposit to {iban} before {nobody}, please.",
    "Her social security number, {us_ssn}, was on the form.",
    "Login from {ip_address} at {nobody}, device {mac_address}.",
    "See {url} for release {nobody}; the build hash is {nobody}.",
    "Order {nobody} shipped, tracking {nobody}, total {nobody}.",
    "Ticket {nobody}: customer called from {phone}, asked about {nobody}.",
    "Forwarded to {email} and {email} on {nobody}.",
    "We met in 2019 and sold 12,500 units at {nobody} each, up 3.5 percent.",
    "The server {ip_address} answered in {nobody} ms.",
    "My new mobile is {phone}; old card {credit_card} is cancelled.",
    "Nothing to report this week, all quiet here.",
    "DOB: {date_of_birth}, SSN {us_ssn}, tel. {phone}",
    "Version {nobody} was tagged on {nobody}, checksum {nobody}.",
)
CHINESE = (
    "客户身份证号{cn_resident_id}，手机{phone}，请尽快核对。",
    "请把款打到银行卡{cn_bank_card}，开户行工商银行。",
    "订单{nobody}已发货，运费{nobody}元，签收后联系{phone}。",
    "统一社会信用代码：{cn_social_credit}，成立于{nobody}。",
    "王女士，{date_of_birth}出生，护照号码{passport}。",
    "邮箱是{email}，微信同手机号{phone}。",
    "车牌{cn_licence_plate}于{nobody}违章一次，罚款200元。",
    "登录IP为{ip_address}，时间{nobody}，版本{nobody}。",
    "信用卡{credit_card}本期账单{nobody}元，最后还款日{nobody}。",
    "设备{mac_address}已上线，详情见{url}。",
    "今天天气不错，我们去了公园，花了{nobody}块钱。",
    "流水号 {nobody} 处理成功，耗时{nobody}毫秒。",
    "姓名：李雷 生日：{date_of_birth} 电话：{phone} 邮箱：{email}",
    "紧急联系人电话{phone}，本人证件{cn_resident_id}。",
    "快递单号{nobody}，收件人电话{phone}。",
    "这款手机很好用，电池续航两天，五星好评。",
)
SHARED: dict[str, Callable[[Random], str]] = {
    "email": email,
    "credit_card": card,
    "iban": iban,
    "us_ssn": ssn,
    "ip_address": ip,
    "url": url,
    "mac_address": mac,
    "cn_resident_id": resident,
    "cn_bank_card": union,
    "cn_social_credit": credit,
    "cn_licence_plate": plate,
    "nobody": nobody,
}
OF_ENGLISH = {"phone": phone_en, "passport": passport_en, "date_of_birth": birth_en}
OF_CHINESE = {"phone": phone_zh, "passport": passport_zh, "date_of_birth": birth_zh}


def made(language: str, count: int, seed: int = 11) -> list[Labelled]:
    """`count` labelled texts in `en` or `zh`.

    >>> [one] = made("en", 1)
    >>> all(0 <= a < b <= len(one.text) for a, b, _ in one.spans)
    True
    """
    draw = Random(f"{language} {seed}")
    makers = {**SHARED, **(OF_ENGLISH if language == "en" else OF_CHINESE)}
    templates = ENGLISH if language == "en" else CHINESE
    out = []
    for _ in range(count):
        one = Labelled("")
        chosen = (" " if language == "en" else "").join(draw.sample(templates, draw.choice([1, 1, 2])))
        place = 0
        for hole in HOLE.finditer(chosen):
            one.text += chosen[place : hole.start()]
            value = makers[hole[1]](draw)
            if hole[1] != "nobody":
                one.spans.append((len(one.text), len(one.text) + len(value), hole[1]))
            one.text += value
            place = hole.end()
        one.text += chosen[place:]
        out.append(one)
    return out
