"""Facts of common knowledge that the downloaded tables lack, or have out of date.

Names of currencies follow ISO 4217, names of languages ISO 639.
"""

from __future__ import annotations

DEPENDENT_TERRITORIES = frozenset(
    {
        *("AS", "AI", "AQ", "AW", "AX", "BL", "BM", "BQ", "BV", "CC", "CK", "CW", "CX", "EH"),
        *("FK", "FO", "GF", "GG", "GI", "GL", "GP", "GS", "GU", "HK", "HM", "IM", "IO", "JE"),
        *("KY", "MF", "MO", "MP", "MQ", "MS", "NC", "NF", "NU", "PF", "PM", "PN", "PR", "RE"),
        *("SH", "SJ", "SX", "TC", "TF", "TK", "UM", "VG", "VI", "WF", "YT"),
    }
)
"""Left out with their cities: asked for the country of San Juan, two answers would be right."""

DISSOLVED = frozenset({"CS", "AN"})
"""Countries of the table that are no more."""

CONTESTED_CAPITALS = frozenset({"IL", "PS"})
"""No capital is stated for these."""

TRANSCONTINENTAL = frozenset({"AM", "AZ", "CY", "EG", "GE", "KZ", "RU", "TL", "TR"})
"""No continent is stated for these."""

CAPITALS = {"KZ": "Astana"}
"""Capitals that were renamed since the table was made."""

COUNTRY_NAMES = {"NL": "Netherlands", "TL": "Timor-Leste", "PS": "Palestine", "VA": "Vatican City"}
"""Names of countries where the table's is unusual."""

NO_BORDERS = frozenset({("CU", "US"), ("US", "CU")})
"""Listed for the sake of a naval base, yet nobody calls these countries neighbours."""

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

COUNTRY_ALIASES: dict[str, tuple[str, ...]] = {
    "AE": ("UAE",),
    "BA": ("Bosnia",),
    "BS": ("The Bahamas",),
    "CD": ("DR Congo", "Congo-Kinshasa", "Democratic Republic of Congo"),
    "CG": ("Congo-Brazzaville",),
    "CI": ("Côte d'Ivoire",),
    "CN": ("People's Republic of China",),
    "CV": ("Cape Verde",),
    "CZ": ("Czech Republic",),
    "FM": ("Federated States of Micronesia",),
    "GB": ("UK", "Great Britain", "Britain", "United Kingdom of Great Britain"),
    "GM": ("The Gambia",),
    "IR": ("Islamic Republic of Iran",),
    "KP": ("Democratic People's Republic of Korea",),
    "KR": ("Republic of Korea", "Korea"),
    "LA": ("Lao People's Democratic Republic",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "NL": ("The Netherlands", "Holland"),
    "PS": ("Palestinian Territory", "State of Palestine"),
    "RU": ("Russian Federation",),
    "SZ": ("Swaziland",),
    "TL": ("East Timor", "Timor Leste"),
    "TR": ("Türkiye",),
    "TW": ("Republic of China",),
    "US": ("USA", "US", "United States of America", "America"),
    "VA": ("Vatican", "Holy See"),
}

CAPITAL_ALIASES: dict[str, tuple[str, ...]] = {
    "BJ": ("Porto Novo",),
    "KZ": ("Nur-Sultan",),
    "MM": ("Nay Pyi Taw",),
    "MN": ("Ulan Bator",),
    "RO": ("București",),
    "UA": ("Kiev",),
    "US": ("Washington, D.C.", "Washington DC"),
}

CURRENCIES: dict[str, tuple[str, ...]] = {
    "AED": ("United Arab Emirates dirham", "UAE dirham", "Emirati dirham"),
    "ARS": ("Argentine peso",),
    "AUD": ("Australian dollar",),
    "AZN": ("Azerbaijani manat",),
    "BBD": ("Barbadian dollar", "Barbados dollar"),
    "BHD": ("Bahraini dinar",),
    "BIF": ("Burundian franc", "Burundi franc"),
    "BND": ("Brunei dollar",),
    "BAM": ("Convertible mark", "Marka", "Bosnia and Herzegovina convertible mark"),
    "BGN": ("Bulgarian lev", "Lev"),
    "BRL": ("Brazilian real", "Real"),
    "BSD": ("Bahamian dollar",),
    "BZD": ("Belize dollar",),
    "CAD": ("Canadian dollar",),
    "CDF": ("Congolese franc",),
    "CHF": ("Swiss franc",),
    "CLP": ("Chilean peso",),
    "CNY": ("Renminbi", "Yuan", "Chinese yuan", "Yuan Renminbi"),
    "COP": ("Colombian peso",),
    "CRC": ("Costa Rican colón", "Colón"),
    "CUP": ("Cuban peso",),
    "CVE": ("Cape Verdean escudo", "Escudo"),
    "CZK": ("Czech koruna", "Koruna"),
    "DJF": ("Djiboutian franc", "Djibouti franc"),
    "DKK": ("Danish krone",),
    "DOP": ("Dominican peso",),
    "DZD": ("Algerian dinar",),
    "EGP": ("Egyptian pound",),
    "FJD": ("Fijian dollar", "Fiji dollar"),
    "GBP": ("Pound sterling", "British pound", "Sterling"),
    "GNF": ("Guinean franc", "Guinea franc"),
    "GYD": ("Guyanese dollar", "Guyana dollar"),
    "ILS": ("Israeli new shekel", "Shekel", "New shekel"),
    "INR": ("Indian rupee",),
    "IQD": ("Iraqi dinar",),
    "IRR": ("Iranian rial",),
    "ISK": ("Icelandic króna",),
    "JMD": ("Jamaican dollar",),
    "JOD": ("Jordanian dinar",),
    "KES": ("Kenyan shilling",),
    "KGS": ("Kyrgyz som", "Kyrgyzstani som"),
    "KHR": ("Riel", "Cambodian riel", "Riels"),
    "KMF": ("Comorian franc",),
    "KPW": ("North Korean won",),
    "KRW": ("South Korean won",),
    "KWD": ("Kuwaiti dinar",),
    "LBP": ("Lebanese pound",),
    "LKR": ("Sri Lankan rupee",),
    "LRD": ("Liberian dollar",),
    "LYD": ("Libyan dinar",),
    "MAD": ("Moroccan dirham",),
    "MDL": ("Moldovan leu",),
    "MUR": ("Mauritian rupee",),
    "MWK": ("Malawian kwacha",),
    "MXN": ("Mexican peso",),
    "NAD": ("Namibian dollar", "Namibia dollar"),
    "NOK": ("Norwegian krone",),
    "NPR": ("Nepalese rupee",),
    "NZD": ("New Zealand dollar",),
    "OMR": ("Omani rial",),
    "PHP": ("Philippine peso",),
    "PKR": ("Pakistani rupee",),
    "QAR": ("Qatari riyal", "Qatari rial"),
    "RON": ("Romanian leu",),
    "RSD": ("Serbian dinar",),
    "RUB": ("Russian ruble", "Ruble", "Russian rouble"),
    "RWF": ("Rwandan franc",),
    "SAR": ("Saudi riyal", "Saudi rial"),
    "SBD": ("Solomon Islands dollar",),
    "SCR": ("Seychellois rupee", "Seychelles rupee"),
    "SDG": ("Sudanese pound",),
    "SEK": ("Swedish krona",),
    "SGD": ("Singapore dollar",),
    "SOS": ("Somali shilling",),
    "SRD": ("Surinamese dollar", "Surinam dollar"),
    "SSP": ("South Sudanese pound",),
    "SYP": ("Syrian pound",),
    "TMT": ("Turkmenistan manat", "Turkmen manat"),
    "TND": ("Tunisian dinar",),
    "TRY": ("Turkish lira", "Lira"),
    "TTD": ("Trinidad and Tobago dollar",),
    "TWD": ("New Taiwan dollar", "Taiwan dollar"),
    "TZS": ("Tanzanian shilling",),
    "UGX": ("Ugandan shilling",),
    "USD": ("United States dollar", "US dollar", "American dollar"),
    "UYU": ("Uruguayan peso",),
    "UZS": ("Uzbek som", "Uzbekistani som"),
    "VES": ("Bolívar", "Bolivar Soberano", "Venezuelan bolívar"),
    "XAF": ("Central African CFA franc",),
    "XCD": ("East Caribbean dollar",),
    "XOF": ("West African CFA franc",),
    "YER": ("Yemeni rial",),
    "ZMW": ("Zambian kwacha",),
}
"""Name and aliases by code, where the table's name is shared by several currencies or unusual."""

LANGUAGES = {
    "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bn": "Bengali", "ca": "Catalan",
    "cs": "Czech", "de": "German", "dv": "Dhivehi", "dz": "Dzongkha", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fr": "French",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer",
    "ko": "Korean", "ky": "Kyrgyz", "la": "Latin", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mk": "Macedonian", "mn": "Mongolian", "ms": "Malay", "my": "Burmese",
    "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "ny": "Chichewa", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovene", "sq": "Albanian", "sr": "Serbian", "sw": "Swahili", "tg": "Tajik",
    "th": "Thai", "tk": "Turkmen", "tr": "Turkish", "tvl": "Tuvaluan", "uz": "Uzbek",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

LANGUAGE_ALIASES: dict[str, tuple[str, ...]] = {
    "fa": ("Farsi",),
    "sl": ("Slovenian",),
    "zh": ("Mandarin", "Mandarin Chinese"),
    "dv": ("Divehi", "Maldivian"),
}

CONTESTED_LANGUAGES = frozenset({"IN", "BO", "TZ"})
"""The table lists several languages that are equally official, so none is stated."""

DISCOVERY_COUNTRIES = {
    "Austria": "AT", "Denmark": "DK", "England": "GB", "Finland": "FI", "France": "FR",
    "Germany": "DE", "Great Britain": "GB", "Italy": "IT", "Japan": "JP", "Mexico": "MX",
    "Romania": "RO", "Russia": "RU", "Scotland": "GB", "Spain": "ES", "Sweden": "SE",
    "Switzerland": "CH", "United States": "US",
}  # fmt: skip
"""Where elements were discovered, by ISO code; places that name two countries are left out."""

ELEMENT_ALIASES: dict[str, tuple[str, ...]] = {
    "Al": ("Aluminium",),
    "Cs": ("Caesium",),
    "S": ("Sulphur",),
}
