"""Languages and duplicates: what a text is in, and whether it is there already."""

from __future__ import annotations

import random
import sqlite3

import pytest

from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.duplicates import KnownTexts, sketch_of, text_digest
from training.construction.crawl.languages import KNOWN_LANGUAGES, language_of

TEXTS = {
    "en": "The harbour of Lisbon shelters the ships from the storms of the Atlantic, and it"
    " has done so for two thousand years. Its lighthouse was built in 1761 and guides"
    " the sailors who come in.",
    "de": "Der Hafen von Lissabon schützt die Schiffe vor den Stürmen des Atlantiks, und "
    "das tut er seit zweitausend Jahren. Sein Leuchtturm wurde 1761 gebaut und führt "
    "die Seeleute in den Hafen.",
    "fr": "Le port de Lisbonne abrite les navires des tempêtes de l'Atlantique, et il le "
    "fait depuis deux mille ans. Son phare a été construit en 1761 et guide les "
    "marins qui entrent dans le port.",
    "es": "El puerto de Lisboa protege a los barcos de las tormentas del Atlántico, y lo "
    "hace desde hace dos mil años. Su faro fue construido en 1761 y guía a los "
    "marineros que entran en el puerto.",
    "it": "Il porto di Lisbona protegge le navi dalle tempeste dell'Atlantico, e lo fa da "
    "duemila anni. Il suo faro è stato costruito nel 1761 e guida i marinai che "
    "entrano nel porto con la nebbia.",
    "pt": "O porto de Lisboa protege os navios das tempestades do Atlântico, e é assim há "
    "dois mil anos. O seu farol foi construído em 1761 e guia os marinheiros que "
    "entram no porto com a névoa.",
    "nl": "De haven van Lissabon beschermt de schepen tegen de stormen van de Atlantische "
    "Oceaan, en dat doet zij al tweeduizend jaar. De vuurtoren werd in 1761 gebouwd "
    "en leidt de zeelieden er in.",
    "sv": "Hamnen i Lissabon skyddar fartygen från stormarna på Atlanten, och det har den "
    "gjort i två tusen år. Dess fyr byggdes år 1761 och den leder sjömännen som "
    "kommer till hamnen om natten.",
    "pl": "Port w Lizbonie chroni statki przed sztormami na Atlantyku i robi to od dwóch "
    "tysięcy lat. Jego latarnia została zbudowana w roku 1761 i prowadzi marynarzy, "
    "którzy są na morzu, do portu.",
    "tr": "Lizbon limanı gemileri Atlantik fırtınalarından korur ve bunu iki bin yıldır "
    "yapar. Onun feneri 1761 yılında inşa edildi ve limana giren denizciler için bir "
    "yol olarak çok önemli ve en eski fener olan bu yapı daha sonra da kadar gibi her"
    " gün çalıştı.",
    "id": "Pelabuhan Lisboa melindungi kapal dari badai di Atlantik, dan telah melakukan "
    "itu untuk dua ribu tahun. Mercusuar itu dibangun pada tahun 1761 dan memandu "
    "para pelaut yang masuk ke dalam pelabuhan dengan selamat.",
    "ru": "Гавань Лиссабона укрывает корабли от бурь Атлантики уже две тысячи лет, и маяк "
    "ведёт их.",
    "el": "Το λιμάνι της Λισαβόνας προστατεύει τα πλοία από τις καταιγίδες του Ατλαντικού.",
    "ja": "リスボンの港は二千年の間、大西洋の嵐から船を守ってきた。灯台は千七百六十一年に建"
    "てられた。",
    "zh": "里斯本港口两千年来一直保护船只免受大西洋风暴的侵袭。灯塔建于一七六一年。",
    "ko": "리스본 항구는 이천 년 동안 대서양의 폭풍으로부터 배를 보호해 왔다.",
    "ar": "يحمي ميناء لشبونة السفن من عواصف المحيط الأطلسي منذ ألفي عام.",
    "he": "נמל ליסבון מגן על הספינות מפני סערות האוקיינוס האטלנטי.",
    "hi": "लिस्बन का बंदरगाह दो हज़ार वर्षों से जहाज़ों को तूफ़ानों से बचाता है।",
    "th": "ท่าเรือลิสบอนปกป้องเรือจากพายุในมหาสมุทรแอตแลนติกมาสองพันปี",
}


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("declared", ["", "en-US"])
def test_the_text_decides_whatever_is_declared(language, declared):
    assert language_of(TEXTS[language], declared) == language


def test_declared_languages_decide_where_the_text_cannot():
    assert language_of(TEXTS["ru"], "uk") == "uk"
    assert language_of("Lyon 1234", "fr-CA") == "fr"
    assert language_of("Lyon Paris Marseille Toulouse " * 20, "fr") == "fr"
    assert language_of("", "") == ""
    # Furniture at both ends does not hide what a long page is in.
    assert language_of(TEXTS["en"] * 8 + TEXTS["de"] * 40 + TEXTS["en"] * 8) == "de"


def test_only_known_languages_can_be_asked_for():
    assert set(TEXTS) <= KNOWN_LANGUAGES
    with pytest.raises(ValueError, match="got xx"):
        CrawlConfig(languages=("en", "xx"))


def words(seed, num=600):
    chance = random.Random(seed)
    return [f"w{chance.randrange(40_000)}" for _ in range(num)]


@pytest.fixture
def known():
    database = sqlite3.connect(":memory:")
    yield KnownTexts(database, 0.9)
    database.close()


def add(known, url, text):
    known.add(url, text_digest(text), sketch_of(text))


def test_equal_and_nearly_equal_texts_are_found(known):
    text = " ".join(words(1))
    for number in range(300):
        add(known, f"http://a.example/{number}", " ".join(words(100 + number)))
    add(known, "http://a.example/here", text)
    assert known.same(text_digest(f"  {text}\n")) == "http://a.example/here"
    assert known.same(text_digest(text + " more")) == ""
    changed = words(1)
    changed[10] = changed[300] = "other"
    url, similarity = known.near(sketch_of(" ".join(changed).upper()))
    assert url == "http://a.example/here"
    assert similarity > 0.93
    # Half of it anew is another text.
    half = " ".join(words(1)[:300] + words(2)[:300])
    assert known.near(sketch_of(half))[0] == ""
    assert known.near(sketch_of("short"))[0] == ""


def test_similarity_is_estimated_rightly():
    # Long texts are sampled, which must not change what is estimated.
    for num in (200, 6_000):
        mine = words(5, num)
        for share in (0.0, 0.02, 0.3):
            other = [w if random.Random(i).random() >= share else "x" for i, w in enumerate(mine)]
            first, second = " ".join(mine), " ".join(other)
            exact = _jaccard(first, second)
            database = sqlite3.connect(":memory:")
            known = KnownTexts(database, 0.51)
            add(known, "http://a.example/", first)
            estimated = known.near(sketch_of(second))[1]
            database.close()
            if exact > 0.6:
                assert estimated == pytest.approx(exact, abs=0.13)


def _jaccard(first, second):
    a, b = ({t[i : i + 5] for i in range(len(t) - 4)} for t in (f" {first} ", f" {second} "))
    return len(a & b) / len(a | b)
