"""Random texts with what looks like personal data, on which compiled and twin must agree."""

from __future__ import annotations

import numpy as np
import polars as pl

from tests.text.random_texts import texts, twin


def joined(chance: np.random.Generator) -> None:
    """`text.runs.joined`, of a column in one piece, in several and in the midst of a longer one."""
    from tillage.text import runs

    some = pl.concat([texts(chance), texts(chance)], rechunk=bool(chance.random() < 0.5))
    first = int(chance.integers(0, len(some) + 1))
    mark = str(chance.choice(["", "-", "\n", "\u00e9\u00e9"]))
    for column in (some, some[first:], some[:first], some.cast(pl.Categorical)):
        here, there = runs.joined(column, mark), twin(runs, lambda of=column: runs.joined(of, mark))  # type: ignore[misc]
        np.testing.assert_array_equal(here, there)


WRITTEN = """
    li.wei@example.cn a+b@mail.example.co.uk x_1@xn--fiqs8s.xn--fiqz9s https://example.org/a?b=c#d ftp://f.example.n
    http://10.1.2.3:8080/x www.example.com WWW.a.b/ 106.31.73.20 6e40:4041:c617:e898:c11:40d2:c669:2eb4 ::7 7::
    2001:db8::8a2e:370:7334 1:2:3:4:5:6:1.2.3.4 12:30:05 a::b1 00:1A:2b:3c:4D:5e AA-BB-CC-DD-EE-FF 138-1234-5678
    13812345678 +86138-1234-5678 0086-13912345678 010-62345678 (0755)2345678 (0755)-2345678转12 +1-984-182-0190
    (579)888-3058 1.905.674.3793 345-899-3560x4587 001-518-640-0854 400-810-8888 8008108888 (+1)2345678 99-668472
    4111111111111111 4111-1111-1111-1111 3519833257665853 6212345678901232 6212-3456-7890-1232 9558820200011234566
    GB29NWBK60161331926819 de89-3704-0044-0532-0130-00 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
    bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 0x52908400098527886E0F7030069857D2E4169EE7 11010519491231002X
    110105491231002 91350100M000100Y43 460-89-9847 460899847 E12345678 京A12345 沪B·D1234 粤BD12345 川A1234警
    2/8/1935 1935-8-2 12.03.1980 1980年3月12日 DAbcdefghijkmnopqrstuvwxyz TheseAreLettersWithoutABlank
"""
"""Personal data as they are written, each without a blank."""


SPACED = (
    "4111 1111 1111 1111", "3782 822463 10005", "6212 3456 7890 1232", "GB29 NWBK 6016 1331 9268 19", "023 01 0866",
    "+44 20 7946 0018", "+46 (0)8 928 571 38", "138 1234 5678", "(0755) 2345678", "12 March 1980", "5th of May, 1990",
    "Dec. 3rd, 1971", "September 30 2001", "1980 年 3 月 12 日", "1 (202) 555-0143 ext. 12", "00 44 20 7946 0018",
    "沪B D1234", "12 345 67 89", "0086 138-1234-5678", "Müller born in 1980", "+46 () 8 928 571 38",
    "身份证110105491231002", "passport E12345678", "34052419800101001x", f"{'a' * 64}@b.cn", f"{'a' * 65}@b.cn",
    "1111111111111111111114oLvT2",
    "SSN 460899847", "call 99 668472", "call 5403926876 ext 12", "born 12.03.1980", "born Dec. 3rd, 1971",
    "出生1980 年3月12日",
    "born 5th of May, 1990", "born 30th March 2001", "credit card 3519833257665853", "tel 400-810-8888",
    "call 4008108888",
    "phone 5403926876Ext. 7", "phone: 5403926876x12", "tel 6685472", "call (1234) 56 78 90 12",
    "call 30 8526962 30 470178", "call 1234 5678 9012 345x12", "tel 12345 12345678-12", "tel 1234 5678-90123 4567",
    "tel 12 34 56 78 90 12 34 56", "tel (12) 34.56.78.9 012345678", "tel 123 45678901.2345 6",
    "银行卡号 9558820200011234566", "11111111111111111111g4hiWR", "DEYXukfUqvoaHjCzzRHSATnGdvUzsCDNrh",
    "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "token 0x52908400098527886E0F7030069857D2E4169EE7",
)  # fmt: skip


ABOUT = (
    "", "", "", " ", "phone ", "call me: ", "电话", "手机：", "card ", "SSN: ", "passport ", "born ", "生日", "出生",
    "身份证", "wallet ", "银行卡号 ", "order no. ", "version ", "[PHONE]", ", ",
    "，", "-", ".", "1", "a", "+", "(", "/", ":", "@",
    "年",
)  # fmt: skip


ODD = "0123456789 .-()+/:@,xXabfzAF年\u200b\uff11\uff21\u0663\u2013\u00b7\u2022\u1680\u4eac\u4dff\x00"


def personal(chance: np.random.Generator) -> pl.Series:
    """Texts of personal data and of what nearly is: with a sign too many, too few or another one."""
    made: list[str | None] = [*texts(chance).head(2)]
    for _ in range(int(chance.integers(1, 6))):
        parts = []
        for _ in range(int(chance.integers(1, 5))):
            value = str(chance.choice(WRITTEN.split() if chance.random() < 0.7 else SPACED))
            while chance.random() < 0.4:
                i, sign = int(chance.integers(0, len(value) + 1)), str(chance.choice(list(ODD)))
                value = value[:i] + str(chance.choice([sign, sign, ""])) + value[i + int(chance.integers(0, 2)) :]
            if chance.random() < 0.2:
                value = "".join(str(chance.integers(0, 10)) if c.isdigit() else c for c in value)
            parts += [str(chance.choice(ABOUT)), value]
        before = "x" * int(chance.integers(990, 1024)) + " " if chance.random() < 0.2 else ""  # the end of a block
        made.append("".join([before, *parts, str(chance.choice(ABOUT))]))
    return pl.Series("text", made, dtype=pl.String)


def shapes(chance: np.random.Generator) -> None:
    """`privacy.recognise`: each finding of each form is at a place of its shape, and all is found as by the gates."""
    from tillage.privacy import recognise
    from tillage.privacy.shapes import shapes as look
    from tillage.text.folding import NOT_PLAIN, fold
    from tillage.text.native import compiled

    some = personal(chance)
    assert compiled is not None
    raw, odd = look(compiled, some)
    assert odd.tolist() == some.str.contains(NOT_PLAIN).fill_null(value=False).arg_true().to_list()
    folded = [fold(text or "") for text in some]
    found, _ = look(compiled, pl.Series(folded, dtype=pl.String))
    assert raw[~np.isin(raw[:, 0], odd)].tolist() == found[~np.isin(found[:, 0], odd)].tolist()
    told: dict[tuple[int, int], int] = {}
    for row, start, bits in found.tolist():
        told[row, start] = told.get((row, start), 0) | bits
    assert list(told) == sorted(told)
    for row, text in enumerate(folded):
        for form in recognise.FORMS:
            for match in form.pattern.finditer(text[:2000]):
                for at in range(match.start(), match.start() + 4):
                    if recognise.candidate_at(form, text, at):
                        assert told.get((row, at), 0) & form.shape, (form.type, text, at)
    types = recognise.TYPES if chance.random() < 0.6 else recognise.TYPES[int(chance.integers(0, 15)) :][:2]
    words = () if chance.random() < 0.6 else (("name", ("born", "M\u00fcller", "\u7535\u8bdd", "ab")),)
    recogniser = recognise.Recogniser(types, words)
    here = recogniser.find_all(some)
    assert here == twin(recognise, lambda: recogniser.find_all(some))
    assert here == {at: spans for at, text in enumerate(some) if (spans := recogniser.find(text or ""))}
