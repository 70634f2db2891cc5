"""What made-up accounts write, as plain data: the words here, the sentences in `languages/`, one file a language.

`[a|b|c]` in a sentence stands for one of the alternatives, `{name}` for a slot that the generator fills: brand, name,
city, number, price, year, genre, artist, keyword, link, phone. Tables here separate phrases by " / ".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language: its Faker locale, its share of the accounts, and what people and spammers write in it.

    `everyday`, `chat` and `questions` are ordinary talk, on both sides. `editors` and `spam` are sentences by the kind
    of account, `polite` those of spam that a machine writes, `personas` those of people whom spammers invent, as
    `introductions` are those of people there are; `calls` are what either side asks its readers to do;
    `keywords` are what people search for, by the kind of spam. `words` is the name of its list of common words, "" when
    there is none; `mail` are its own free mail providers; `cities` stand where those of Faker differ from process to
    process.
    """

    locale: str
    share: int
    country: str
    mail: tuple[str, ...]
    everyday: tuple[str, ...]
    polite: tuple[str, ...]
    personas: tuple[str, ...]
    introductions: tuple[str, ...]
    calls: tuple[str, ...]
    editors: Mapping[str, tuple[str, ...]]
    spam: Mapping[str, tuple[str, ...]]
    keywords: Mapping[str, tuple[str, ...]]
    words: str = ""
    unspaced: bool = False
    cities: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


class Domains(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hosts and mail domains that accounts of MusicBrainz really had: of spammers, of editors, of both.

    Facts from data/domains_data.csv of metabrainz/spambrainz_ml, domains alone; those of everybody are left out.
    """

    spam_sites: tuple[str, ...]
    shared_sites: tuple[str, ...]
    editor_sites: tuple[str, ...]
    spam_mail: tuple[str, ...]
    shared_mail: tuple[str, ...]


@cache
def languages() -> Mapping[str, Language]:
    """Every language by its code, the most common one first."""
    folder = files("sb_api.synthetic") / "languages"
    found = {
        file.name.removesuffix(".json"): msgspec.json.decode(file.read_bytes(), type=Language)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1].share))


@cache
def known_domains() -> Domains:
    """The real hosts and mail domains."""
    return msgspec.json.decode((files("sb_api.synthetic") / "domains.json").read_bytes(), type=Domains)


def _split(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(" / "))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GENRES = _split("""jazz / krautrock / shoegaze / black metal / ambient / hip hop / baroque music / film scores / soul /
    punk / techno / folk / bossa nova / progressive rock / blues / country / K-pop / reggae / opera / new wave / house /
    drum and bass / indie rock / city pop / chanson / dub / gospel / funk / noise / classical music / ska / trance""")
# Band names are made of these; the trade words among them keep a word like "casino" from giving an account away.
BAND_WORDS = _words("""Velvet Casino Electric Pharmacy Midnight Poker Silver Escort Broken Bitcoin Golden Essay Paper
    Crack Northern Pill Glass Jackpot River Lottery Winter Rolex Blue Replica Holy Keygen Static Backlink Wooden Viagra
    Lost Mover Marble Slot Crypto Lucky Distant Wallet Hollow Betting Cheap Stream Red Massage Iron Luxury Cloud""")
BAND_NOUNS = _words("Dogs Quartet Orchestra Trio Sisters Kings Machine Ensemble Parade Club Choir Wolves")

# What invented names are made of.
ONSETS = _words("b br c ch d dr f g k l m n p pr qu r s st t tr v w x z")
RHYMES = _words("a e i o u ax en or ix ul ia")

# The words that hosts are made of. Every kind also takes some of COMMON_HOST_WORDS, spam or not.
COMMON_HOST_WORDS = _words("""best online shop pro world center group hub store top my the city media digital star first
    easy live net studio house global premium express service point line zone planet direct market network royal gold
    smart blog deals""")
MUSIC_HOST_WORDS = _words("""music records sound audio vinyl band tape radio song guitar piano drums jazz rock metal
    folk beats label archive discs concert choir opera choral recording strings noise echo tone""")
TRADE_HOST_WORDS = _words("tickets gifts books games travel events wedding photo design coffee fashion consulting web")
SPAM_HOST_WORDS = {
    "seo": _words("seo rank traffic backlinks marketing agency web design growth leads"),
    "pharmacy": _words("pharmacy meds pills rx health tablets drug generic care apteka"),
    "casino": _words("casino slot poker bet jackpot gacor togel spin win bonus"),
    "software": _words("crack keygen download soft full free license apk pc warez"),
    "escort": _words("escort girls vip models massage dating night elite ladies companion"),
    "essay": _words("essay paper write thesis homework assignment writers study tutor grade"),
    "crypto": _words("crypto bitcoin coin trade invest token wallet profit mining capital"),
    "streaming": _words("iptv stream live football tv movies sport watch channels hd"),
    "movers": _words("movers moving furniture transport cleaning removals logistics packers relocation storage"),
    "realty": _words("realty homes land property apartments villa estate invest condo tower"),
    "replica": _words("replica watches bags luxury outlet brand shoes sale wholesale fashion"),
    "prizes": _words("prize win claim gift rewards lucky winner voucher cash"),
    "dating": _words("dating singles chat meet flirt love girls cam match"),
    "homeservices": _words("plumbing roofing repair cleaning pest towing garage handyman heating contractors"),
    "lawyers": _words("law legal attorney injury lawyer justice divorce claims firm"),
    "health": _words("health keto cbd slim clinic skin hair wellness gummies natural"),
    "shop": _words("shop store dress shirts jackets perfume mattress furniture supply wholesale"),
    "travel": _words("travel flights hotels tours holidays rental taxi cruise booking trip"),
    "education": _words("academy training courses exam dumps institute coaching classes study certify"),
    "gaming": _words("hack cheats gems coins codes unblocked games mod generator robux"),
    "support": _words("support helpline customer service number antivirus helpdesk fix care"),
    "loans": _words("loan loans credit money cash lending finance fast debt mortgage"),
    "occult": _words("magic spells psychic tarot medium oracle spirit healer luck love"),
    "cars": _words("cars auto motors garage parts tyres rental taxi transfer drive"),
    "factory": _words("machinery industrial steel pipe supply factory tools pump agro wholesale"),
    "papers": _words("certificates documents tax accounting invoice company papers exam license consulting"),
    "jobs": _words("jobs work income earn career salary home task bonus team"),
    "building": _words("windows doors builders construction renovation roof floor garden heating homes"),
    "beauty": _words("beauty cosmetics perfume salon lashes nails skin surgery hair aesthetic"),
    "gifts": _words("flowers gifts pets puppies dress jewelry fashion boutique roses kittens"),
    "events": _words("events wedding party print catering photo dj banner studio hall"),
    "reviews": _words("reviews best top guide tested picks compare gear buyers coupon advisor"),
    "magazine": _words("news daily bio celebs lyrics results tips times today zodiac quotes wiki"),
    "phones": _words("phone mobile sim unlock repair cell smart gsm laptop fix"),
    "adult": _words("adult cams massage spa hot lady sexy video relax club"),
}

PUBLIC_HOSTS = _words("""bandcamp.com soundcloud.com facebook.com youtube.com twitter.com instagram.com last.fm
    discogs.com spotify.com open.spotify.com musicbrainz.org en.wikipedia.org github.com myspace.com linkedin.com
    medium.com about.me linktr.ee tumblr.com vk.com pinterest.com rateyourmusic.com t.me sites.google.com blogspot.com
    reddit.com x.com youtu.be t.co bit.ly tinyurl.com music.apple.com mixcloud.com twitch.tv patreon.com ko-fi.com
    deezer.com google.com plus.google.com mastodon.social bsky.app tiktok.com threads.net open.substack.com
    listenbrainz.org archive.org wikidata.org steamcommunity.com flickr.com vimeo.com goodreads.com libre.fm yahoo.com
    docs.google.com drive.google.com goo.gl beacons.ai lnk.bio carrd.co bio.link gravatar.com yelp.com weibo.com
    bilibili.com music.163.com douban.com note.com ameblo.jp blog.naver.com ok.ru livejournal.com letterboxd.com""")
SOCIAL_HOSTS = _words("""facebook.com youtube.com twitter.com instagram.com medium.com about.me linktr.ee
    tumblr.com vk.com pinterest.com t.me sites.google.com linkedin.com bit.ly t.co youtu.be x.com tinyurl.com tiktok.com
    docs.google.com goo.gl gravatar.com flickr.com""")
PLATFORMS = _words("""bandcamp.com blogspot.com wordpress.com tumblr.com github.io weebly.com wixsite.com neocities.org
    substack.com jimdofree.com carrd.co livejournal.com tistory.com netlify.app""")

# Real editors' most common mail providers (MetaBrainz' own published count, 2018); the later ones
# and those of single countries are our estimate.
COMMON_MAIL = {
    "gmail.com": 44, "outlook.com": 16, "yahoo.com": 15, "hotmail.com": 12, "mail.ru": 6, "gmx.de": 2, "web.de": 2,
    "aol.com": 1, "free.fr": 1, "gmx.net": 1, "yandex.com": 1, "googlemail.com": 1, "comcast.net": 1, "msn.com": 1,
    "proton.me": 3, "protonmail.com": 2, "icloud.com": 4, "live.com": 2, "me.com": 1, "mac.com": 1, "gmx.com": 1,
    "mail.com": 1, "fastmail.com": 1, "posteo.de": 1, "tutanota.com": 1, "hotmail.co.uk": 1, "yahoo.co.uk": 1,
    "qq.com": 1, "163.com": 1, "naver.com": 1, "libero.it": 1, "zoho.com": 1, "hey.com": 1, "pm.me": 1,
}  # fmt: skip

# What pages that want to be found are stuffed with, made of the keywords of a trade.
KEYWORD_LINES = _split("""{keyword} / {keyword} {city} / {keyword} {keyword} / {keyword}, {keyword}, {keyword} /
    {keyword} | {keyword} | {keyword} / {brand}: {keyword} / {keyword} - {brand} / {keyword} {year} / {keyword}!""")

# What either side writes when it has nothing to say.
SHORT_BIOS = _split("""hi / test / ... / hello / music / I love music / :) / me / n/a / just me / 音乐 / привет / hey
    / no / ok / hola / - / nothing / . / nope / hello world / yes / hallo / salut / ciao / 안녕 / مرحبا / oi""")


class Campaign(NamedTuple):
    """A wave of spam that `generate_editors` never makes: `marks` are the words that only this campaign has."""

    name: str
    language: str
    marks: tuple[str, ...]
    host_words: tuple[str, ...]
    sentences: tuple[str, ...]


def _campaign(name: str, language: str, words: str, sentences: str) -> Campaign:
    # "marks / host words"; without the second part the hosts are made of the marks.
    marks, _, host_words = words.partition(" / ")
    return Campaign(name, language, _words(marks), _words(host_words or marks), _split(sentences))


CAMPAIGNS = (
    _campaign("vaping", "en", "vape vaping eliquid nicotine", """[Best|Cheap] vape [pens|mods|pods] in {city}. / Our
        vaping store ships eliquid and nicotine salts for ${price}. / Order vape [kits|juice] at {link}."""),
    _campaign("forex signals", "en", "forex pips signals metatrader", """Daily forex signals with {price} pips per week.
        / {name} is a forex mentor from {city}. / Copy our metatrader signals: {link}."""),
    _campaign("locksmith", "en", "locksmith lockout rekey deadbolt", """Emergency locksmith in {city}, call {phone}. /
        Car lockout, rekey and deadbolt installation, 24/7. / Licensed locksmith near you: {link}."""),
    _campaign("phone repair", "es", "celulares pantallas iphone reparamos", """Reparamos celulares y pantallas en
        {city}. / Cambio de batería iphone desde {price} euros. / Servicio técnico de celulares: {link}."""),
    _campaign("astrology", "en", "astrologer astrology horoscope vashikaran", """Famous astrologer {name} solves love
        problems. / Vashikaran and astrology by phone: {phone}. / Free horoscope at {link}."""),
    _campaign("slimming tea", "pl", "herbata herbatka detoks odchudzająca / herbata herbatka detoks", """Herbatka
        ziołowa i detoks w 14 dni. / Zamów: herbata odchudzająca {price} zł, wysyłka {city}. / Opinie: {link}."""),
    _campaign("limousine", "en", "limousine limo chauffeur sedan", """Airport limousine and limo service in {city}. /
        Ride in a sedan with a private chauffeur for ${price}. / Book a limousine: {link} or {phone}."""),
    _campaign("printer support", "en", "printer printers cartridge epson", """Printer offline? Call printer support
        {phone}. / We fix HP and epson printers and every cartridge error. / Printer driver setup: {link}."""),
    _campaign("fake documents", "ru", "паспорт диплом водительские права / diplom pasport prava", """Купить диплом и
        паспорт в городе {city}. / Водительские права за {price} дней. / Оригинальный диплом с доставкой: {link}."""),
    _campaign("tree removal", "en", "arborist stump pruning trees", """Tree removal and stump grinding in {city}. /
        Certified arborist, pruning of all trees, call {phone}. / Free estimate from an arborist: {link}."""),
    _campaign("loan apps", "id", "pinjaman pinjol kredit cicilan", """Pinjaman online cair cepat {price} juta. /
        Aplikasi pinjol legal, kredit tanpa jaminan, cicilan ringan. / Ajukan pinjaman di {link}."""),
    _campaign("solar panels", "en", "solar panels inverter photovoltaic", """Go solar in {city} and save {price}%. /
        Photovoltaic panels, inverter and battery, installed by {brand}. / Solar calculator: {link}."""),
    _campaign("dental clinic", "vi", "răng sứ implant bọc / nhakhoa implant rang", """Nha khoa {brand} tại {city}. /
        Trồng răng implant giá từ {price} triệu, bọc răng sứ. / Đặt lịch nha khoa: {link}."""),
    _campaign("visa agency", "ar", "تأشيرة هجرة فيزا السفارة / visa hijra tashira", """تأشيرة و هجرة الى كندا من {city}
        / فيزا سياحية خلال {price} يوم مواعيد السفارة / استشارة هجرة مجانية {link}"""),
)  # fmt: skip
