"""Records how many tokens real tokenizers make of texts of many kinds.

``python tests/data/count_tokens.py`` writes ``token_counts.json`` beside it. It takes
the vocabularies from the wheel of litellm, which ships them, and needs ``tiktoken``
and ``tokenizers``; both are asked for by their names from the package index.
"""

# ruff: noqa: RUF001 -- letters of many scripts
from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path
from string import ascii_letters, ascii_lowercase, digits
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent
FOLDER: Final = "litellm/litellm_core_utils/tokenizers/"
WORDS: Final = [
    "rose",
    "tulip",
    "order",
    "bouquet",
    "delivery",
    "customer",
    "price",
    "season",
    "florist",
    "invoice",
    "garden",
    "window",
    "morning",
    "available",
    "wedding",
    "anniversary",
    "address",
    "payment",
]
PROSE: Final = {
    "english": "The florist opens at nine, and most of the roses are gone before "
    "noon. Whoever wants a bouquet for a wedding should order it a week ahead; "
    "we deliver to any address in town, and we don't charge for that.\n",
    "german": "Der Blumenladen öffnet um neun Uhr; die meisten Rosen sind schon vor "
    "Mittag verkauft. Für Hochzeitssträuße empfehlen wir eine Vorbestellung, die "
    "Lieferung innerhalb der Stadtgrenzen ist selbstverständlich kostenlos.\n",
    "chinese": "花店早上九点开门,大部分玫瑰在中午之前就卖完了。如果您需要婚礼花束,"
    "请提前一周预订。我们可以送货到城里的任何地址,并且不收取额外费用。\n",
    "japanese": "花屋は朝九時に開店し、バラのほとんどは正午までに売り切れます。"
    "結婚式のブーケをご希望の方は、一週間前までにご予約ください。\n",
    "korean": "꽃집은 아침 아홉 시에 문을 열고, 대부분의 장미는 정오 전에 다 팔립니다. "
    "결혼식 꽃다발이 필요하시면 일주일 전에 주문해 주세요.\n",
    "russian": "Цветочный магазин открывается в девять утра, и большинство роз "
    "раскупают до полудня. Свадебный букет лучше заказать за неделю.\n",
    "arabic": "يفتح متجر الزهور في التاسعة صباحا وتباع معظم الورود قبل الظهر. "
    "من يريد باقة للزفاف فليطلبها قبل أسبوع.\n",
    "hindi": "फूलों की दुकान सुबह नौ बजे खुलती है और ज़्यादातर गुलाब दोपहर से पहले "
    "बिक जाते हैं। शादी के गुलदस्ते के लिए एक हफ़्ता पहले ऑर्डर करें।\n",
    "thai": "ร้านดอกไม้เปิดเวลาเก้าโมงเช้า และกุหลาบส่วนใหญ่จะขายหมดก่อนเที่ยง\n",
}
SENTENCES: Final = {
    "greek": "Το ανθοπωλείο ανοίγει στις εννέα το πρωί. ",
    "armenian": "Ծաղկի խանութը բացվում է առավոտյան իննին։ ",
    "bengali": "ফুলের দোকান সকাল নয়টায় খোলে এবং বেশিরভাগ গোলাপ বিক্রি হয়ে যায়। ",
    "tamil": "பூக்கடை காலை ஒன்பது மணிக்கு திறக்கிறது, ரோஜாக்கள் விற்றுவிடும். ",
    "lao": "ຮ້ານດອກໄມ້ເປີດຕອນເກົ້າໂມງເຊົ້າ ",
    "amharic": "የአበባ ሱቅ ከጠዋቱ ሶስት ሰዓት ይከፈታል። ",
    "turkish": "Çiçekçi sabah dokuzda açılıyor, güllerin çoğu öğleden önce bitiyor. ",
    "phonetic": "ðə flɒrɪst ˈəʊpənz æt naɪn θɜːd ʃʒŋ ",
    "letters of mathematics": "𝐇𝐞𝐥𝐥𝐨 𝓦𝓸𝓻𝓵𝓭 𝔽𝕝𝕠𝕨𝕖𝕣 ",
}
CODE: Final = '''\
class Bouquet:
    """Flowers that are sold together."""

    def __init__(self, flowers: list[Flower], *, ribbon: str = "red") -> None:
        self.flowers = [flower for flower in flowers if not flower.is_sold]
        self._total_price = sum(f.price_cents * 1.19 for f in self.flowers) // 100

    def deliver(self, address: dict[str, Any], at: datetime | None = None) -> bool:
        if self._total_price <= 0 or address.get("zip_code") is None:
            raise ValueError(f"cannot deliver to {address!r}: {len(self.flowers)=}")
        return self.http_client.post("/v1/deliveries", json={**address}).ok
'''


def samples() -> dict[str, str]:
    """Return texts by their kind, the same ones each time."""
    chance = random.Random(20261127)  # noqa: S311 -- no secrets

    def word() -> str:
        return chance.choice(WORDS)

    rows = [
        {
            "order_id": chance.randrange(10**7),
            "customer": {"name": word().title(), "is_regular": chance.random() < 0.5},
            "items": [{"sku": f"{word()[:3].upper()}-{n:04}", "price_eur": n / 7}] * 2,
            "delivered_at": f"2026-{chance.randint(1, 12):02}-03T09:{n % 60:02}:11Z",
        }
        for n in range(12)
    ]
    return {
        **{name: text * 4 for name, text in PROSE.items()},
        "python": CODE * 3,
        "json": json.dumps(rows),
        "json indented": json.dumps(rows, indent=2),
        "csv": "\n".join(
            f"{n},2026-11-{n % 28 + 1:02},{word()},{chance.random() * 99:.2f},"
            f"{chance.randrange(10**6)},{chance.choice('ABC')}{chance.randrange(99)}"
            for n in range(60)
        ),
        "urls": "\n".join(
            f"https://shop.example/{word()}/{word()}-{chance.randrange(10**5)}"
            f"?utm_source={word()}&sid={chance.getrandbits(40):x}&p={n}#top"
            for n in range(40)
        ),
        "base64": base64.b64encode(chance.randbytes(2400)).decode(),
        "hex": chance.randbytes(1200).hex(),
        "uuids": " ".join(
            str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(40)
        ),
        "digits": "".join(chance.choice("0123456789") for _ in range(2000)),
        "random letters": "".join(
            chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(2000)
        ),
        "random capitals": " ".join(
            "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(9))
            for _ in range(200)
        ),
        "emoji": "🌹🌷💐🌻🌼🪻🌸💮🏵️🥀🌺🪷👩‍🌾👨🏽‍🌾🧑🏿‍🚀❤️‍🔥🏳️‍🌈😀🙏🏼✨" * 20,
        "punctuation": "".join(
            chance.choice("!?.,;:-_#*+/|\\(){}<>") for _ in range(999)
        ),
        "markdown": "".join(
            f"| {word()} | {n} | **{word()}** | `{word()}_{word()}()` |\n"
            for n in range(60)
        ),
        "camel case": " ".join(
            f"{word()}{word().title()}{word().title()}Id" for _ in range(200)
        ),
        "rare characters": "".join(
            chr(0x20000 + chance.randrange(40_000)) for _ in range(300)
        )
        + "".join(chr(0x1200 + chance.randrange(300)) for _ in range(300)),
        **more_samples(chance),
    }


def more_samples(chance: random.Random) -> dict[str, str]:
    """Return texts that a bound is easily too low for."""

    def of(letters: str, size: int, count: int) -> str:
        return " ".join("".join(chance.choices(letters, k=size)) for _ in range(count))

    return {
        **{name: text * 8 for name, text in SENTENCES.items()},
        "words of three random letters": of(ascii_lowercase, 3, 400),
        "words of five random letters": of(ascii_lowercase, 5, 400),
        "ids": of(ascii_letters + digits, 16, 100),
        "capitals and small letters": of(ascii_letters, 8, 200),
        "base64 in lines": base64.encodebytes(chance.randbytes(1800)).decode(),
        "line breaks": "\n" * 400,
        "tabs": "\t" * 400,
        "lines of spaces": "a \n \n  \n" * 100,
        "sql": "SELECT a.id,COUNT(*) FROM t a WHERE a.ts>='2026-01-01' GROUP BY 1;\n"
        * 9,
    }


def tokenizers(folder: Path) -> dict[str, Callable[[str], int]]:
    """Return what counts tokens, by the tokenizer's name."""
    import tiktoken  # noqa: PLC0415 -- after the cache is named
    from tokenizers import Tokenizer  # type: ignore[import-not-found]  # noqa: PLC0415

    found: dict[str, Callable[[str], int]] = {}
    for name in ("cl100k_base", "o200k_base"):
        encoding = tiktoken.get_encoding(name)
        found[name] = lambda text, one=encoding: len(  # type: ignore[misc]
            one.encode(text, disallowed_special=())
        )
    for name in ("anthropic", "deepseek"):
        one = Tokenizer.from_file(str(folder / f"{name}_tokenizer.json"))
        found[name] = lambda text, one=one: len(  # type: ignore[misc]
            one.encode(text, add_special_tokens=False).ids
        )
    return found


def main() -> None:
    """Write the counts."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pip = [sys.executable, "-m", "pip", "-q"]
        wanted = ["litellm", "-d", place]
        subprocess.run([*pip, "download", "--no-deps", *wanted], check=True)  # noqa: S603
        subprocess.run(  # noqa: S603
            [*pip, "install", "--no-deps", "--target", place, "tokenizers"], check=True
        )
        with zipfile.ZipFile(next(folder.glob("litellm-*.whl"))) as wheel:
            for name in wheel.namelist():
                if name.startswith(FOLDER):
                    (folder / Path(name).name).write_bytes(wheel.read(name))
        sys.path.insert(0, place)
        os.environ["TIKTOKEN_CACHE_DIR"] = place
        counts = tokenizers(folder)
        recorded = {
            kind: {
                "text": text,
                **{name: count(text) for name, count in counts.items()},
            }
            for kind, text in samples().items()
        }
    text = json.dumps(recorded, ensure_ascii=False, indent=1) + "\n"
    (HERE / "token_counts.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
