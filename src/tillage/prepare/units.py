"""Units of measurement and currencies by the names that people write, and the step between two of one dimension.

A table of our own, of what occurs in tables: a unit is one entry, so that its meaning can be read here, and it takes
no library (pint brings a grammar of units, a registry and its own array type; this is one look-up). Factors are exact
fractions. Money is not exchanged: each currency is a dimension of its own.
Sources: BIPM, The International System of Units, 9th edition 2019; NIST Handbook 44, Appendix C, 2024 (inch, pound);
State Council of China, 1984 (shi units); IEC 80000-13:2008 (bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple


class Unit(NamedTuple):
    """A value in this unit is `factor * value + offset` in the base unit of its dimension."""

    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


_INCH, _POUND = Fraction(254, 10_000), Fraction(45_359_237, 100_000_000)

_TABLE: Mapping[str, Mapping[Fraction, str]] = {
    "ratio": {
        Fraction(1): "1", Fraction(1, 100): "% percent pct", Fraction(1, 1000): "‰", Fraction(1, 10): "成",
        Fraction(1, 10**6): "ppm",
    },
    "mass": {
        Fraction(1): "kg kgs kilogram kilograms kilogramme kilogrammes 公斤 千克",
        Fraction(1, 1000): "g gram grams gramme grammes gr 克", Fraction(1, 10**6): "mg milligram milligrams 毫克",
        Fraction(1, 10**9): "μg ug mcg 微克", Fraction(1000): "t ton tons tonne tonnes 吨",
        _POUND: "lb lbs pound pounds 磅", _POUND / 16: "oz ounce ounces 盎司", _POUND * 14: "st stone",
        Fraction(1, 2): "斤 jin", Fraction(1, 20): "两 liang",
    },
    "length": {
        Fraction(1): "m meter meters metre metres 米", Fraction(1, 100): "cm 厘米 公分",
        Fraction(1, 1000): "mm 毫米", Fraction(1000): "km kilometer kilometers kilometre kilometres 公里 千米",
        Fraction(1, 10**6): "μm um", _INCH: "in inch inches \" 英寸", _INCH * 12: "ft foot feet ' 英尺",
        _INCH * 36: "yd yard yards", _INCH * 63_360: "mi mile miles 英里", Fraction(500): "里",
    },
    "area": {
        Fraction(1): "m2 sqm 平米 平方米", Fraction(10**6): "km2 平方公里",
        Fraction(10_000): "ha hectare hectares 公顷", Fraction(2000, 3): "亩 mu", _INCH**2 * 144: "ft2 sqft",
        _INCH**2 * 144 * 43_560: "acre acres 英亩",
    },
    "volume": {
        Fraction(1): "l liter liters litre litres 升", Fraction(1, 1000): "ml cc cm3 毫升",
        Fraction(1, 100): "cl", Fraction(1000): "m3 立方米", _INCH**3 * 231_000: "gal gallon gallons 加仑",
    },
    "time": {
        Fraction(1): "s sec secs second seconds 秒", Fraction(1, 1000): "ms 毫秒",
        Fraction(60): "min mins minute minutes 分 分钟", Fraction(3600): "h hr hrs hour hours 小时 时",
        Fraction(86_400): "d day days 天 日", Fraction(604_800): "week weeks 周 星期",
    },
    "data": {
        Fraction(1): "B byte bytes 字节", Fraction(10**3): "kB KB", Fraction(10**6): "MB", Fraction(10**9): "GB",
        Fraction(10**12): "TB", Fraction(2**10): "KiB", Fraction(2**20): "MiB", Fraction(2**30): "GiB",
        Fraction(2**40): "TiB",
    },
    "energy": {
        Fraction(1): "J 焦", Fraction(3600): "Wh 瓦时", Fraction(1000): "kJ 千焦", Fraction(4184): "kcal 大卡 千卡",
        Fraction(4184, 1000): "cal 卡", Fraction(3_600_000): "kWh 千瓦时 度",
    },
    **{
        names.split()[0]: {Fraction(1): names}
        for names in (
            "CNY ¥ 元 人民币 RMB yuan CN¥ 块", "USD $ US$ dollar dollars 美元", "EUR € euro euros 欧元",
            "GBP £ 英镑", "JPY 円 JP¥ yen 日元", "HKD HK$ 港元 港币", "INR ₹", "KRW ₩", "CHF", "RUB ₽",
        )
    },
}  # fmt: skip

_TEMPERATURES = {
    "K": Unit("temperature", Fraction(1)),
    "°C": Unit("temperature", Fraction(1), Fraction(27_315, 100)),
    "°F": Unit("temperature", Fraction(5, 9), Fraction(45_967, 100) * Fraction(5, 9)),
}
_TEMPERATURES |= {"摄氏度": _TEMPERATURES["°C"], "华氏度": _TEMPERATURES["°F"]}

UNITS: Mapping[str, Unit] = MappingProxyType(
    _TEMPERATURES
    | {
        name: Unit(dimension, factor)
        for dimension, units in _TABLE.items()
        for factor, names in units.items()
        for name in names.split()
    }
)
"""Name to unit, in NFKC: `℃` is written `°C` there, and `㎡` `m2`."""

_FOLDED = {name.lower(): unit for name, unit in reversed(list(UNITS.items()))}


def find_unit(name: str) -> Unit | None:
    """The unit of that name; the case counts only where two differ by it. None: there is none.

    >>> find_unit("KG") == find_unit("kilograms") == find_unit("公斤")
    True
    >>> find_unit("furlong") is None
    True
    """
    return UNITS.get(name) or _FOLDED.get(name.lower())


def step_between(given: Unit, wanted: Unit) -> tuple[Fraction, Fraction]:
    """(factor, offset) that turn a value in one unit into the other; both are of one dimension.

    >>> step_between(UNITS["lb"], UNITS["g"])
    (Fraction(45359237, 100000), Fraction(0, 1))
    """
    if given.dimension != wanted.dimension:
        raise ValueError(f"{given.dimension} cannot be turned into {wanted.dimension}")
    return given.factor / wanted.factor, (given.offset - wanted.offset) / wanted.factor
