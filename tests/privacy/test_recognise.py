"""The recogniser: what is found in hand-made texts, and that the fast way finds what the slow one finds."""

from __future__ import annotations

import random
import re
import time
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tillage.privacy import recognise
from tillage.privacy.kinds import SIX_DIGITS, any_of
from tillage.privacy.recognise import FORMS, ROW_FILTER, TYPES, Candidate, Recogniser, candidates, candidates_at
from tillage.text.folding import fold

POSITIVE: dict[str, tuple[str, ...]] = {
    "email": ("li.wei@example.cn", "a+b@mail.example.co.uk", "O'Neil@example.org", "x_1@xn--fiqs8s.xn--fiqz9s"),
    "url": ("https://example.org/a?b=c#d", "http://10.1.2.3:8080/x", "www.example.com", "ftp://f.example.net/a.txt"),
    "ip_address": ("106.31.73.20", "6e40:4041:c617:e898:c11:40d2:c669:2eb4", "2001:db8::8a2e:370:7334"),
    "mac_address": ("00:1A:2b:3c:4D:5e", "00-1A-2B-3C-4D-5E"),
    "phone": (
        "13812345678", "138 1234 5678", "+86 138-1234-5678", "010-62345678", "(0755) 2345678", "+44 20 7946 0018",
        "+1-984-182-0190", "(579)888-3058", "905-674-3793", "345-899-3560x4587", "+46 (0)8 928 571 38",
        "001-518-640-0854",
    ),
    "credit_card": ("4111111111111111", "4111-1111-1111-1111", "4111 1111 1111 1111", "3782 822463 10005"),
    "cn_bank_card": ("6212345678901232", "6212 3456 7890 1232"),
    "iban": ("GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19", "de89 3704 0044 0532 0130 00"),
    "crypto_address": ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    "cn_resident_id": ("11010519491231002X", "34052419800101001x"),
    "cn_social_credit": ("91350100M000100Y43",),
    "us_ssn": ("460-89-9847", "023 01 0866"),
    "cn_licence_plate": ("京A12345", "沪B·D1234", "粤BD12345", "川A1234警"),
}  # fmt: skip
"""What is found anywhere, whatever stands about it."""

IN_CONTEXT = {
    "passport": ("护照号{}", "E12345678"),
    "us_ssn": ("my SSN: {}", "460899847"),
    "date_of_birth": ("She was born on {}.", "2/8/1935"),
    "phone": ("Please call {} today", "99 668472"),
    "crypto_address": ("send ETH to {}", "0x52908400098527886E0F7030069857D2E4169EE7"),
    "cn_resident_id": ("身份证{}", "110105491231002"),
    "cn_bank_card": ("银行卡号 {}", "9558820200011234566"),
    "credit_card": ("credit card no. {}", "3519833257665853"),
}
"""What is found only with a word beside it."""

NOTHING = (
    "订单号20240301123456789已发货，金额128.50元", "版本 1.2.3.4 发布于 2023-11-20", "v10.0.0.1",
    "timestamp 1700000000000 ms",
    "流水号 13812345678", "at 12:30:05 on 2024-01-05", "std::vector<int> a::b", "4111111111111112",
    "GB28NWBK60161331926819",
    "000-12-3456", "666-12-3456", "123-00-4567", "11010519491231002Y", "256.1.1.1", "1.2.3.4.5", "a@b", "@home",
    "12.50",
    "2024-01-05 to 2024-02-07", "999 111 222 333 in stock", "3.14159265358979", "1/2 cup, 350 g",
    "0.0.0.0 and 127.0.0.1 and ::1",
    "the meeting of 2/8/1935", "京都A", "X-13812345678901", "abcdefgh://", "E12345678",
)  # fmt: skip

ALL = Recogniser()
HAN, ASCII = ("手机", "，谢谢"), ("see ", ", ok")
VALUES = [(kind, value) for kind, values in POSITIVE.items() for value in values]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_each_way_of_writing_is_found_at_its_place_alone_and_beside_han_and_in_full_width(
    kind: str, value: str
) -> None:
    for before, after in (("", ""), HAN, ASCII, ("号码", "是的"), ("(", ")"), ("\n", "\n")):
        text = f"{before}{value}{after}"
        spans = [(s.start, s.end) for s in ALL.find(text) if s.type == kind]
        assert spans == [(len(before), len(before) + len(value))], text
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in value)
    assert [s.type for s in ALL.find(f"见{wide}。")] == [kind]


@pytest.mark.parametrize("kind", IN_CONTEXT)
def test_words_beside_it_decide(kind: str) -> None:
    form, value = IN_CONTEXT[kind]
    text = form.format(value)
    assert [(s.start, s.end, s.type) for s in ALL.find(text)] == [
        (text.index(value), text.index(value) + len(value), kind)
    ]
    assert kind not in {s.type for s in ALL.find(f"It is {value} then")}


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert ALL.find(text) == ()


def test_every_type_has_examples_and_every_form_is_used() -> None:
    assert set(POSITIVE) | set(IN_CONTEXT) == set(TYPES)
    texts = [value for _, value in VALUES] + [form.format(value) for form, value in IN_CONTEXT.values()]
    texts += [
        "生日：1980年3月12日",
        "born 12 March 1980",
        "call 400-810-8888",
        "phone: 5403926876",
        "6212 3456 7890 1232",
    ]
    unused = [f.pattern.pattern for f in FORMS if not any(list(candidates(f, text)) for text in texts)]
    assert [p for p in unused if r"\(\+" not in p] == []


ADDRESSES = (
    "|https://a.cn/x|，谢谢", "|https://a.cn/x|，see b", "见|https://a.cn/x|查看详情", "|https://a.cn|自助申诉", "|http://a.cn/|进行查询。",
    "从|https://a.cn/download/|下载boost_1_72_0.tar.bz2", "|https://a.cn/zh/|的所有内容", "|https://a.cn/x|（见下）", "|https://a.cn/#db12|了解",
    "|https://a.cn/?key=YQ==|获取", "|https://a.cn/|或|https://b.cn/|上传", "(|https://zh.wikipedia.org/wiki/中国|)",
    "见|https://zh.wikipedia.org/wiki/中国|，谢谢", "|https://zh.wikipedia.org/wiki/木馬_(電腦)| 等", "|https://a.cn/wiki/北京|）",
    "|https://ja.wikipedia.org/wiki/フェルマーの小定理|)より", "|https://a.cn/item/数论/3700?from=x|)中的",
    "|https://www.baidu.com/s?wd=中国&cb=show|\"", "|https://a.cn/a?name=张三&city=南京#说明|。", "|http://a.cn/图片1.png|)",
    "|http://a.cn/中文/路徑/文件.txt|。", "|http://a.cn/查看chrome版本.png|", "|https://a.cn/x/第2章/a%20b|\n",
    "|www.a.cn/中文?q=1|'", "|https://a.cn/|中文?吗",
)  # fmt: skip
"""Addresses beside Han, as found in Chinese pages; each between bars."""


@pytest.mark.parametrize("marked", ADDRESSES)
def test_an_address_holds_han_where_it_says_so_and_else_ends_where_the_sentence_goes_on(marked: str) -> None:
    pieces = marked.split("|")
    text, said = "".join(pieces), pieces[1::2]
    spans = Recogniser(("url",)).find(text)
    assert [text[s.start : s.end] for s in spans] == said
    assert ALL.find_all(pl.Series([text])).get(0) == ALL.find(text)


def test_invisible_characters_within_are_part_of_the_span_and_those_behind_are_not() -> None:
    text = "a 138\u200b1234\u200b5678\u200b b"
    assert [text[s.start : s.end] for s in ALL.find(text)] == ["138\u200b1234\u200b5678"]


def test_overlaps_are_settled_by_certainty_then_length() -> None:
    assert [s.type for s in ALL.find("https://example.org/?mail=a@b.com&tel=13812345678")] == ["url"]
    assert [s.type for s in ALL.find("电话 11010519491231002X")] == ["cn_resident_id"]
    assert [s.type for s in Recogniser(("email", "phone")).find("https://e.org/?m=a@b.com")] == ["email"]
    assert [tuple(s) for s in Recogniser((), (("name", ("张三", "张三丰")),)).find("张三丰和张三")] == [
        (0, 3, "name"),
        (4, 6, "name"),
    ]


def test_a_word_of_a_dictionary_ends_where_words_end() -> None:
    names = Recogniser((), (("name", ("Ann", "欧阳", "Müller")),))
    assert [s.start for s in names.find("Ann, Anna, Joann, Ann's 李Ann小")] == [0, 18, 25]
    assert [s.start for s in names.find("大欧阳修, Müllers Müller")] == [1, 14]


PIECES = st.sampled_from([v for _, v in VALUES] + [f.format(v) for f, v in IN_CONTEXT.values()] + list(NOTHING))
GLUE = st.sampled_from(["", " ", "，", "-", "\u200b", ".", "1", "a", "电话", "card ", "ID:", "\n", "/", "+", "("])
TEXT = st.lists(st.one_of(PIECES, GLUE, st.text(max_size=4)), max_size=8).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | TEXT, max_size=4))
@example(["http:/／a.b", "３", "ｗｗｗ.a.com", "call 4008108888"])
@example(["bİrth 2/8/1935", "credıt 3519833257665853", "PAſſPORT E12345678", "call (123)4567", "call 12345 67 8"])
@example(["AA-BB-CC-DD-EE-FF", "at aa:bb:cc:dd:ee:ff", "to DEYXukfUqvoaHjCzzRHSATnGdvUzsCDNrh"])
@example(["a" * 65 + "@b.cn", "a" * 64 + "@b.cn", "a@b@c.cn", "::7", "7::", "a:7:", "(+1)2345678"])
def test_the_gates_lose_nothing(texts: list[str | None]) -> None:
    """The slow twin asks every pattern of every text."""
    slow = {at: found for at, text in enumerate(texts) if text is not None and (found := ALL.find(text))}
    column = pl.Series(texts, dtype=pl.String)
    assert ALL.find_all(column) == slow
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recognise, "compiled", None)
        assert ALL.find_all(column) == slow
    for text in texts:
        folded = fold(text or "")
        for form in FORMS:
            told = list(candidates(form, folded))
            if form.starts is not None:
                assert list(candidates_at(form, folded, form.starts(folded))) == told
            if told:
                column = pl.Series([folded])
                assert all(column.str.contains(gate)[0] for gate in form.gates), (form.type, folded)
                assert column.str.contains(ROW_FILTER)[0], (form.type, folded)
                lowered = folded.lower().replace("\u0131", "i").replace("i\u0307", "i")
                assert not form.words or any(word in lowered for word in form.words), (form.type, folded)
                assert not (form.han and folded.isascii())
                assert not form.six or column.str.contains(SIX_DIGITS)[0], (form.type, folded)


SPOKEN = st.lists(
    st.sampled_from(["phone", "Ring", "ring", "v", "1", "[", "<", " ", "_", "ı", "İ", "ſ", "K", "mſ", "手机"])
)


@given(SPOKEN.map("".join))
@example("bıRTH")
def test_words_are_those_of_one_pattern_in_any_case(text: str) -> None:
    words = r"phone|\bring|birth|\bv|\bver\b|sms|key|手机"
    plain = re.compile(rf"(?<![\[{{<])(?:{words})", re.IGNORECASE)
    assert any_of(words, "[{<")(text) == bool(plain.search(text))


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_spans_are_in_order_within_the_text_and_apart(text: str) -> None:
    spans = ALL.find(text)
    assert all(0 <= s.start < s.end <= len(text) for s in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))


@pytest.mark.parametrize(
    "unit", ["1-", "a@", "+1 ", "(1) ", "1 ", "GB29 ", "::", "1.", "a.", "http://", "66", "0-", "1x", "jan 1 "]
)
def test_no_text_stalls_it(unit: str) -> None:
    text = f"call card {unit * (60_000 // len(unit))}"
    for look in (ALL.find, lambda text: ALL.find_all(pl.Series([text]))):
        begun = time.process_time()
        look(text)
        assert time.process_time() - begun < 3


def test_a_text_of_many_findings_costs_what_many_texts_of_one_do() -> None:
    """Compared with each other they took half a minute."""
    text = "https://a.cn/x#中 13812345678 " * 10_000
    begun = time.process_time()
    assert len(ALL.find(text)) == 20_000
    assert time.process_time() - begun < 5


SPANS = st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(1, 5), st.sampled_from(TYPES))


@settings(max_examples=200, deadline=None)
@given(st.lists(SPANS.map(lambda t: Candidate(t[0], t[1], t[1] + t[2], t[3])), max_size=12))
def test_what_is_kept_of_findings_that_overlap(found: list[Candidate]) -> None:
    """The slow twin compares each with all."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda c: (c.doubt, c.start - c.end, TYPES.index(c.type), c.start)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    assert ALL._apart(found) == sorted(kept, key=lambda c: c.start)


def test_boundaries_are_not_those_of_words() -> None:
    assert all(r"\b" not in form.pattern.pattern for form in FORMS)


def test_one_random_number_in_a_hundred_at_most_passes_for_a_card() -> None:
    draw = random.Random(5)
    numbers = [f"{draw.randrange(10**15, 10**16)}" for _ in range(4000)]
    found = sum(bool(Recogniser(("credit_card",)).find(f"x {n}")) for n in numbers)
    assert 0 < found < 0.035 * len(numbers)
    assert not re.search("[0-9]", "".join(TYPES))
