"""The phrase material of `synthetic.py`, as plain data.

Sentences are separated by " / ". `[a|b|c]` stands for one of the alternatives, `{name}` for a slot that the generator
fills: brand, name, city, number, price, year, genre, artist, keyword, link, phone.
"""

from __future__ import annotations

from typing import NamedTuple


def _split(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(" / "))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Language: its Faker locale, and its share of the accounts where a kind has that language at all.
LANGUAGES = {
    "en": ("en_US", 60), "de": ("de_DE", 9), "fr": ("fr_FR", 7), "ru": ("ru_RU", 8), "zh": ("zh_CN", 7),
    "es": ("es_ES", 8), "vi": ("vi_VN", 5), "id": ("id_ID", 5), "ar": ("ar_SA", 4), "pl": ("pl_PL", 6),
    "pt": ("pt_BR", 4), "ja": ("ja_JP", 4),
}  # fmt: skip

GENRES = _split("""jazz / krautrock / shoegaze / black metal / ambient / hip hop / baroque music / film scores / soul /
    punk / techno / folk / bossa nova / progressive rock / blues / country / K-pop / reggae / opera / new wave / house /
    drum and bass / indie rock / city pop / chanson / dub / gospel / funk / noise / classical music / ska / trance""")
# Band names are made of these; the trade words among them keep a word like "casino" from giving an account away.
BAND_WORDS = _words("""Velvet Casino Electric Pharmacy Midnight Poker Silver Escort Broken Bitcoin Golden Essay Paper
    Crack Northern Pill Glass Jackpot River Lottery Winter Rolex Blue Replica Holy Keygen Static Backlink Wooden Viagra
    Lost Mover Marble Slot Crypto Lucky Distant Wallet Hollow Betting Cheap Stream Red Massage Iron Luxury Cloud""")
BAND_NOUNS = _words("Dogs Quartet Orchestra Trio Sisters Kings Machine Ensemble Parade Club Choir Wolves")

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
}

PUBLIC_HOSTS = _words("""bandcamp.com soundcloud.com facebook.com youtube.com twitter.com instagram.com last.fm
    discogs.com spotify.com open.spotify.com musicbrainz.org en.wikipedia.org github.com myspace.com linkedin.com
    medium.com about.me linktr.ee tumblr.com vk.com pinterest.com rateyourmusic.com t.me sites.google.com blogspot.com
    reddit.com""")
SPAM_PUBLIC_HOSTS = _words("""facebook.com youtube.com twitter.com instagram.com medium.com about.me linktr.ee
    tumblr.com vk.com pinterest.com t.me sites.google.com linkedin.com soundcloud.com""")
PLATFORMS = _words("bandcamp.com blogspot.com wordpress.com tumblr.com github.io weebly.com wixsite.com")

# Real editors' most common mail providers (MetaBrainz' own published count, 2018); other providers come from Faker.
COMMON_MAIL = {
    "gmail.com": 44, "outlook.com": 16, "yahoo.com": 15, "hotmail.com": 12, "mail.ru": 6, "gmx.de": 2, "web.de": 2,
    "aol.com": 1, "free.fr": 1, "gmx.net": 1, "yandex.com": 1, "googlemail.com": 1, "comcast.net": 1, "msn.com": 1,
}  # fmt: skip

_KEYWORDS = {
    "seo": "seo services / cheap backlinks / digital marketing agency / guest post / website traffic / web design",
    "pharmacy": """buy viagra online / cheap tramadol / generic cialis / online pharmacy / no prescription / xanax 2mg /
        weight loss pills / modafinil / sildenafil / health supplements""",
    "casino": """online casino / slot gacor / poker online / bonus code / free spins / judi bola / link alternatif /
        sportsbook / situs slot / betting tips / agen togel / live dealer""",
    "software": """full crack / serial key / license key / free download / latest version / keygen / mod apk / activator
        / product key / patch""",
    "escort": "escort service / vip escorts / call girls / independent escorts / massage / companionship / hotel visit",
    "essay": """essay writing service / write my paper / homework help / dissertation help / assignment expert / thesis
        / plagiarism free / online tutor / coursework""",
    "crypto": """bitcoin / crypto trading / passive income / invest now / token presale / wallet recovery / mining /
        airdrop / ethereum / guaranteed profit / blockchain""",
    "streaming": """iptv subscription / watch live / free football stream / hd movies / premium channels / watch online
        free""",
    "movers": """furniture moving / packers and movers / house cleaning / cheap movers / office relocation / storage /
        cleaning company / moving company / نقل عفش / شركة تنظيف""",
    "realty": "apartments for sale / real estate / luxury villa / land for sale / condo / căn hộ / đất nền",
    "replica": "replica watches / cheap jordans / designer handbags / rolex / wholesale / free shipping",
}
KEYWORDS = {kind: _split(text) for kind, text in _KEYWORDS.items()}

SPAM_SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "seo": {
        "en": _split("""[We are|{brand} is] a [leading|full-service|top rated] [digital marketing|SEO|web design]
            [agency|company|firm] [based in|serving] {city}. / [Our|The] [experts|team|specialists] [help|assist] [small
            businesses|brands|companies] [rank on the first page of Google|grow online|get quality backlinks]. /
            [Get|Buy] [high quality|cheap|permanent] [backlinks|guest posts|website traffic] from ${price}. / {name} is
            an [SEO expert|internet marketer|content strategist|blogger] with {number} years of experience in online
            marketing. / [Boost|Increase|Grow] your [ranking|sales|traffic|followers] [today|now|in 30 days] with
            {link}. / I [write|blog] about [business|technology|lifestyle|marketing] and share tips at {link}."""),
        "es": _split("""Somos una agencia de [marketing digital|posicionamiento web] en {city}. / Mejoramos el
            posicionamiento de tu [empresa|tienda|página web] en Google. / Servicios de SEO, redes sociales y diseño
            desde {price} euros."""),
        "id": _split("""Jasa [SEO|backlink|pembuatan website] murah dan terpercaya di {city}. / Kami membantu bisnis
            anda masuk halaman pertama Google. / Harga mulai dari {price} ribu, hubungi kami {phone}."""),
        "ru": _split("""[Продвижение сайтов|Раскрутка сайта|Создание сайтов] в городе {city}. / Вывод сайта в топ
            Яндекса и Google, гарантия результата. / Вечные ссылки и трафик от {price} рублей."""),
        "pl": _split("""[Pozycjonowanie stron|Tworzenie stron internetowych] {city}. / Skuteczne SEO dla Twojej firmy,
            ceny od {price} zł. / Oferujemy linki, artykuły sponsorowane i reklamę w Google."""),
    },
    "pharmacy": {
        "en": _split("""[Buy|Order] [generic|cheap|original] {keyword} [online|without prescription|from a trusted
            pharmacy]. / [Fast|Discreet|Free] [shipping|delivery] [worldwide|to {city}|within 3 days]. / We are a
            [licensed|trusted| certified] [online pharmacy|drug store] [since {year}|with the lowest prices]. / Lose
            weight [fast|naturally] and feel better with our [pills|supplements|formula]. / [Read|Check] the
            [reviews|side effects|price list] at {link}. / Doctor {name} recommends this [treatment|supplement] for
            [pain|anxiety|men's health|sleep]."""),
        "ru": _split("""Интернет-аптека: [таблетки|препараты] без рецепта, доставка в {city}. / Купить
            [дженерики|виагру] недорого, анонимно, от {price} рублей. / Консультация врача онлайн."""),
        "es": _split("""Comprar [pastillas|medicamentos] sin receta en {city}. / Farmacia online con envío rápido y
            discreto. / Precios desde {price} euros, pago seguro."""),
        "pl": _split("""Apteka internetowa bez recepty, szybka wysyłka {city}. / Tabletki na [odchudzanie|potencję] od
            {price} zł. / Sprawdź opinie i skład produktu."""),
    },
    "casino": {
        "en": _split("""[Play|Enjoy] the [best|hottest] [online casino|slots|poker] games and [win|claim] [real money|a
            bonus|free spins]. / [Sign up|Register] [now|today] and get a {price}% [welcome|deposit] bonus. / {brand}
            [offers|reviews] trusted casino sites, sports betting and live dealers. / [Best odds|Daily tips|Fast
            payouts] for football and tennis betting at {link}. / {name} is a [professional gambler|casino
            reviewer|poker player] who has played since {year}."""),
        "id": _split("""{brand} adalah situs [judi|slot|poker] online [terpercaya|terbaik] di Indonesia. / Daftar
            sekarang dan dapatkan bonus [deposit|member baru] {price}%. / Link alternatif [slot gacor|togel|bola] hari
            ini, main di {link}. / Minimal deposit {price} ribu, proses cepat 24 jam."""),
        "vi": _split("""{brand} là nhà cái [uy tín|hàng đầu] tại Việt Nam. / Đăng ký ngay nhận thưởng {price}k, nạp rút
            nhanh. / Chơi [nổ hũ|bắn cá|xóc đĩa|lô đề] trực tuyến tại {link}. / Cá cược thể thao, game bài đổi
            thưởng."""),
        "zh": _split("""{brand} [真人娱乐|在线娱乐城|棋牌游戏] 官方网站 注册送{price}元 / 提供 体育投注 彩票 电子游戏
            24小时客服 / 信誉平台 快速提款 [欢迎|立即]加入 {link}"""),
        "ru": _split("""Онлайн казино {brand}: [бонус|фриспины] за регистрацию {price} рублей. / Играйте в [игровые
            автоматы|покер|рулетку] на деньги. / Ставки на спорт, зеркало сайта и быстрый вывод: {link}."""),
        "pl": _split("""Najlepsze kasyno online {brand}, bonus {price} zł na start. / Zagraj w [automaty|ruletkę|pokera]
            już dziś. / Zakłady bukmacherskie i darmowe spiny: {link}."""),
    },
    "software": {
        "en": _split("""[Download|Get] {keyword} [full version|with crack|for free] [{year}|latest]. /
            [Adobe|Windows|Autocad| Antivirus|FL Studio|Photoshop] [{year}|Pro] {keyword} free download [here|for PC|for
            Mac] / The [serial key|keygen|patch] works on all versions, [100% working|tested today]. / Click {link} to
            [download|install] the setup file. / {brand} shares [apps|games|tools|mod apk] every day."""),
        "ru": _split("""Скачать [бесплатно|торрент] полную версию {year} с ключом. / Активатор, кряк и лицензионный ключ
            [здесь|без регистрации]. / Программы, игры и взлом для Android: {link}."""),
        "zh": _split("""免费下载 [破解版|绿色版|最新版] 软件 {year} / 注册机 激活码 序列号 下载地址 {link} / 各种 游戏
            工具 安卓应用 免费分享"""),
        "ar": _split("""تحميل [برنامج|لعبة|تطبيق] كامل مع التفعيل {year} مجانا / اخر اصدار برابط مباشر {link} / تنزيل
            برامج الكمبيوتر و الجوال"""),
    },
    "escort": {
        "en": _split("""[Independent|VIP|High class] [escorts|companions|models] in {city}, [call|book] {phone}. /
            [Our|The] [agency|ladies|girls] [offers|offer] [companionship|dinner dates|massage] [24/7|at your hotel]. /
            Hi, I am {name}, {number} years old, [available|new] in {city}. / [See|Browse] our gallery and rates at
            {link}. / Satisfaction and privacy are guaranteed with our service."""),
        "ru": _split("""[Эскорт услуги|Знакомства|Массаж] в городе {city}. / Девушки и модели, анкеты с фото, звоните
            {phone}. / Приятный вечер и конфиденциальность: {link}."""),
        "ar": _split("خدمات [مساج|مرافقة] في {city} على مدار الساعة / للحجز اتصل {phone} او زيارة {link}"),
        "zh": _split("{city} [高端伴游|商务模特|按摩会所] 预约 电话 {phone} / 真实照片 上门服务 {link}"),
    },
    "essay": {
        "en": _split("""[Need|Looking for] [help with your essay|someone to write your paper|assignment help]? /
            [Our|The] [expert| professional|native] writers [deliver|write] [plagiarism free|original]
            [essays|papers|dissertations] [on time|in 6 hours]. / [Students|Clients] [trust|love] {brand} for
            [homework|coursework|thesis] help since {year}. / Prices start at ${price} per page, [unlimited
            revisions|money back guarantee]. / I am {name}, an [academic writer|tutor|education consultant] at {link}. /
            {name} holds a PhD and works with students at a university in {city}."""),
        "pl": _split("""Pisanie prac [licencjackich|magisterskich|zaliczeniowych] {city}. / Tanio, szybko i bez plagiatu
            od {price} zł za stronę. / Pomagamy studentom od {year} roku: {link}."""),
        "es": _split("""Hacemos [tesis|trabajos universitarios|ensayos] sin plagio. / Redactores expertos en {city},
            desde {price} euros por página. / Ayuda para estudiantes: {link}."""),
        "ar": _split("كتابة [بحوث|رسائل ماجستير|واجبات] جامعية باحترافية / اسعار مناسبة للطلاب تواصل معنا {phone}"),
    },
    "crypto": {
        "en": _split("""[Invest|Trade] in [bitcoin|crypto|the token presale] and [earn|make] [up to {price}%|passive
            income|guaranteed profit] [weekly|per day]. / {brand} is a [secure|regulated] [exchange|wallet|mining
            platform] with {number} million users. / [Recover|Get back] your [lost|stolen] bitcoin with [our
            experts|{name}]. / Join our [Telegram group|airdrop|presale] before it is too late: {link}. / {name} is a
            [crypto analyst|blockchain consultant|trader] from {city}."""),
        "ru": _split("""Заработок на криптовалюте от {price}% в день. / Обмен биткоин и эфир, [надёжный
            кошелёк|майнинг]. / Инвестиции без риска, вступайте: {link}."""),
        "zh": _split("比特币 区块链 [投资平台|交易所|钱包] 每日收益 {price}% / 加入 {brand} 官方 社群 空投 {link}"),
        "vi": _split("""Đầu tư [bitcoin|tiền điện tử] lợi nhuận {price}% mỗi ngày. / Sàn {brand} uy tín, tham gia tại
            {link}."""),
    },
    "streaming": {
        "en": _split("""[Watch|Stream] [live football|all matches|new movies|every channel] [free|in HD|online]. /
            [Best|Cheap] IPTV subscription with {number}000 channels for ${price}. / Works on [Firestick|Smart
            TV|Android|all devices], free trial at {link}. / {brand} brings you [movies|series|sport] without ads."""),
        "es": _split("""Ver [fútbol|películas|series] en vivo gratis online. / IPTV premium con {number}000 canales:
            {link}."""),
        "fr": _split("""Abonnement IPTV [premium|pas cher] à partir de {price} euros. / Regarder [films|matchs|séries]
            en streaming gratuit: {link}."""),
        "ar": _split("مشاهدة [مباريات|افلام|مسلسلات] بث مباشر بدون تقطيع / اشتراك قنوات بسعر رخيص {link}"),
    },
    "movers": {
        "en": _split("""{brand} is a [moving|cleaning|storage] company in {city}. / Our [trained|friendly]
            [movers|cleaners] offer [house moving|office relocation|deep cleaning] at [affordable|best] prices. /
            [Call|Contact] us [today|now] for a free quote: {phone}. / [Packers|Movers] with {number} years of
            experience, more at {link}."""),
        "ar": _split("""شركة [نقل عفش|تنظيف منازل|كشف تسربات] {city} / افضل الاسعار و خصم {price}% اتصل الان {phone} /
            عمالة مدربة و خدمة على اعلى مستوى {link}"""),
        "vi": _split("Dịch vụ [chuyển nhà|vệ sinh|kho bãi] trọn gói tại {city}. / Giá rẻ, hotline {phone}."),
        "pl": _split("[Przeprowadzki|Sprzątanie|Transport] {city}, tanio i solidnie. / Zadzwoń: {phone}, {link}."),
    },
    "realty": {
        "en": _split("""[Luxury|Affordable|New] [apartments|villas|homes] for [sale|rent] in {city}. / {brand} is a
            [trusted|local] real estate [agency|developer] since {year}. / [Invest|Live] near the [beach|metro|center],
            prices from ${price}000. / {name} is a realtor, contact {phone} or {link}."""),
        "vi": _split("""[Dự án|Căn hộ|Đất nền] {brand} tại {city}, giá từ {price} triệu. / Chủ đầu tư uy tín, pháp lý rõ
            ràng, liên hệ {phone}. / Thông tin [bất động sản|nội thất] mới nhất: {link}."""),
        "es": _split("Venta de [pisos|casas|terrenos] en {city}. / Inmobiliaria con experiencia: {link}."),
        "id": _split("Jual [rumah|apartemen|tanah] murah di {city}. / Hubungi marketing kami {phone} atau {link}."),
    },
    "replica": {
        "en": _split("""[Cheap|High quality|Swiss] {keyword} [for sale|with free shipping|at wholesale prices]. / Shop
            [watches|handbags|sneakers|jerseys] [outlet|online store] {year}. / [Up to|Save] {price}% off on all
            [brands|orders], visit {link}. / {brand} sells [authentic|mirror quality] products."""),
        "fr": _split("""[Montres|Sacs|Chaussures] pas cher, livraison gratuite. / Boutique {brand}: -{price}% sur
            {link}."""),
        "zh": _split("[高仿手表|名牌包包|运动鞋] 批发 一件代发 微信 {phone} / 工厂直销 价格 {price} 元起 {link}"),
        "ja": _split("[ブランドコピー|スーパーコピー時計|激安バッグ] 専門店 送料無料 {link} / 最高品質 {price}%オフ"),
    },
}  # fmt: skip

CALLS: dict[str, tuple[str, ...]] = {
    "en": _split("""[Visit|Check out] our [website|site|page] {link} for more [details|information]. / [Contact|Call] us
        [today| now]: {phone}. / [Click here|Read more|Learn more]: {link} / Follow us on [Facebook|Instagram|Twitter].
        / We are open [24/7|every day] and [happy|ready] to help. / Thank you for visiting my profile."""),
    "de": _split("Mehr [Informationen|Infos] auf {link}. / [Kontakt|Buchung]: {phone}"),
    "fr": _split("Plus d'informations sur {link}. / Contactez-nous au {phone}."),
    "es": _split("Más información en {link}. / [Contacto|Llámanos]: {phone}"),
    "ru": _split("Подробнее на сайте {link}. / [Звоните|Пишите]: {phone}"),
    "zh": _split("更多 信息 请访问 {link} / 联系 电话 {phone}"),
    "vi": _split("Xem thêm tại {link}. / Liên hệ: {phone}"),
    "id": _split("Info lebih lanjut kunjungi {link}. / Hubungi {phone}."),
    "ar": _split("للمزيد من المعلومات {link} / تواصل معنا {phone}"),
    "pl": _split("Więcej informacji na stronie {link}. / Kontakt: {phone}"),
    "pt": _split("Mais informações em {link}. / Contato: {phone}"),
    "ja": _split("詳しくは {link} / お問い合わせ {phone}"),
}

EDITOR_SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "listener": {
        "en": _split("""I [like|love|enjoy] [listening to|] {genre} and {genre}. / [Just|Only] [tagging my files with
            Picard|keeping my scrobbles tidy|fixing typos]. / [Music lover|Music fan|Listener] from {city}. / My
            favourite [band|artist] is {artist}. / I [travel|read|cook] a lot and [love|collect] music. / I am
            {name}."""),
        "de": _split("""Ich höre [gerne|vor allem] {genre} und {genre}. / Musikfan aus {city}. / Meine Lieblingsband ist
            {artist}. / Ich ordne hier meine [Sammlung|Dateien] mit Picard."""),
        "fr": _split("""J'aime [beaucoup|écouter] {genre} et {genre}. / Passionné de musique de {city}. / Je corrige les
            [fautes|dates] des albums français."""),
        "es": _split("""Me gusta [escuchar|mucho] {genre} y {genre}. / Aficionado de {city}. / Mi grupo favorito es
            {artist}."""),
        "ru": _split("""Люблю [слушать|музыку] {genre} и {genre}. / Меломан из города {city}. / Исправляю названия
            русских [альбомов|песен]."""),
        "zh": _split("喜欢 {genre} 和 {genre} / 来自 {city} 的 音乐 爱好者 / 整理 [华语|中文] 专辑 资料"),
        "vi": _split("Tôi thích nghe {genre} và {genre}. / Yêu âm nhạc, sống ở {city}. / Thêm [bài hát|album] Việt."),
        "id": _split("""Saya suka [musik|mendengarkan] {genre}. / Penggemar {artist} dari {city}. / Menambah
            [lagu|album]."""),
        "ar": _split("احب الاستماع الى {genre} و {genre} / من {city} اضيف [اغاني|البومات] عربية / محب للموسيقى"),
        "pl": _split("Słucham [głównie|] {genre} i {genre}. / Fan muzyki, {city}. / Poprawiam [albumy|daty]."),
        "pt": _split("Gosto de [ouvir|] {genre} e {genre}. / Fã de {artist}, moro em {city}. / Organizo meus discos."),
        "ja": _split("{genre}と{genre}が好きです / {city}在住 音楽ファン / 邦楽の[データ|リリース]を追加しています"),
    },
    "collector": {
        "en": _split("""I [have|own] about {price}0 [records|CDs|LPs|tapes] and [add|enter] [what is missing|them one by
            one]. / [Mostly| Mainly] {genre}, {genre} and {genre} from the {number}s. / [Original
            pressings|Bootlegs|Promos|Box sets] [interest me most|with scans of the covers], please check the matrix
            numbers. / Collecting since {year}, [cataloguing|editing] here since then. / I use [Picard|beets|foobar2000]
            and [Discogs|EAC logs] for [release dates|barcodes]. / For sale and trade list see {link}. / Please leave an
            edit note with a source when you merge releases."""),
        "de": _split("""Ich sammle [Schallplatten|CDs|Kassetten] seit {year}, vor allem {genre}. / Etwa {price}0
            Tonträger, alle mit Barcode und Label eingetragen. / Bitte Quellen bei Änderungen angeben."""),
        "ja": _split("""{genre}のレコードを{year}年から集めています /
            [帯付き|国内盤]のバーコードとカタログ番号を入力します"""),
        "ru": _split("Собираю [винил|пластинки|кассеты] с {year} года. / В коллекции {price}0 релизов, {genre}."),
    },
    "musician": {
        "en": _split("""[We are|{artist} is|{artist} are] a [{genre}|{genre} and {genre}] [band|duo|project] from
            {city}. / [Our|The] [new|debut|second] [album|EP|single] is [out now|available|released in {year}] on
            {link}. / {name} [plays|sings|composes] [guitar|bass|drums|piano|violin] and [teaches|records|produces] in
            {city}. / [Booking|Press|Contact]: {phone} or {link}. / [Listen|Stream|Buy] our music
            [online|everywhere|today]. / For [weddings|corporate events|parties] we play live, [great prices|free
            quote]. / Formed in {year}, we have played with {artist} and {artist}."""),
        "es": _split("{artist} es un grupo de {genre} de {city}. / Nuevo disco en {link}. / Contratación: {phone}"),
        "fr": _split("""{artist} est un groupe de {genre} de {city}. / Notre nouvel album est disponible sur {link}. /
            Concerts et contact: {phone}"""),
        "ru": _split("{artist} — группа из города {city}, играем {genre}. / Новый альбом {year} слушайте на {link}."),
        "pl": _split("{artist} to zespół z {city} grający {genre}. / Nowa płyta już w sprzedaży: {link}."),
        "pt": _split("{artist} é uma banda de {genre} de {city}. / Ouça nosso novo disco em {link}."),
        "id": _split("{artist} band {genre} dari {city}. / Single baru sudah rilis, dengarkan di {link}."),
        "vi": _split("{artist} là ban nhạc {genre} ở {city}. / Nghe đĩa mới tại {link}."),
        "zh": _split("{artist} 来自 {city} 的 {genre} 乐队 / 新专辑 {year} 发行 试听 {link}"),
        "ar": _split("{artist} فرقة {genre} من {city} / استمع الى البوم جديد {link}"),
    },
    "label": {
        "en": _split("""{brand} is an independent [label|record company|publisher] for {genre} and {genre}. / We
            [release|reissue| distribute] [vinyl|cassettes|downloads] since {year}, catalogue at {link}. /
            [Shop|Order|Mailorder] online with [worldwide shipping|free shipping over ${price}]. / Artists: {artist},
            {artist}, {artist}. / [Demos|Licensing|Press] please to {name}. / We use this account to [add|correct] our
            own releases."""),
        "de": _split("""{brand} ist ein Label für {genre} aus {city}. / Alle Veröffentlichungen seit {year} im Shop:
            {link}. / Künstler: {artist}, {artist}."""),
    },
    "archivist": {
        "en": _split("""I [work|volunteer] at a [radio station|library|university archive|museum] in {city}. / We
            [digitise| catalogue] [78s|tapes|broadcasts|field recordings] of {genre} from the {number}s. / Metadata
            follows our [MARC|Dublin Core] records; sources are in the edit notes. / The collection of {name} was
            donated in {year}. / Project page: {link}"""),
        "pl": _split("Pracuję w archiwum radia w {city}. / Katalogujemy nagrania {genre} od {year} roku: {link}."),
    },
    "worker": {
        "en": _split("""By day I [work in a pharmacy|deal cards in a casino|do SEO for an agency|sell real estate|write
            software|drive for a moving company|trade bitcoin|write essays|repair watches] in {city}, by night I listen
            to {genre}. / My [wife|husband| brother] plays in {artist}, who recorded "{keyword}" in {year}. / I also
            [run|write] a [blog|small business|web shop] at {link}. / Not here to advertise anything, I only [edit|add]
            {genre}. / [Freelance|Professional] [web designer|marketing consultant|photographer|translator] with
            {number} years of experience."""),
        "es": _split("Trabajo en [una farmacia|un casino|marketing digital] en {city} y edito {genre}. / {link}"),
        "id": _split("Kerja di [apotek|bank|agen properti] {city}, hobi musik {genre}. / Blog saya: {link}"),
        "vi": _split("Làm [bất động sản|marketing|nhà thuốc] ở {city}, thích nghe {genre}. / Trang của tôi: {link}"),
    },
    "developer": {
        "en": _split("""I [wrote|maintain] a [tagger|music player|scrobbler|plugin] that uses the web service: {link}. /
            This is a [bot|test] account of {name}, [edits are|run] {number} per hour. / [Report|Send] [problems|bugs]
            to the issue tracker. / Software [developer|engineer] from {city}, working on [open source|APIs|data
            imports]. / License and download of the [source|latest version]: {link}"""),
        "fr": _split("""Développeur à {city}, je maintiens un [lecteur|greffon] libre: {link}. / Compte de robot de
            {name}."""),
        "zh": _split("{city} 的 软件 开发者 做 [播放器|标签工具] 下载 {link}"),
    },
    "merchant": {
        "en": _split("""{brand} is a [record shop|guitar store|music school|recording studio|ticket agency|DJ service]
            in {city}. / We [buy|sell|repair] [used vinyl|instruments|amplifiers|hi-fi] at [fair|best] prices. /
            [Visit|Find] us online at {link} or call {phone}. / [Lessons|Mastering|Rehearsal rooms] from ${price} per
            hour. / Our [team|customers] [love|play] {genre}."""),
        "de": _split("{brand} ist ein [Plattenladen|Musikhaus|Tonstudio] in {city}. / An- und Verkauf: {link}."),
        "ru": _split("{brand}: магазин [пластинок|гитар] в городе {city}. / Цены от {price} рублей, доставка, {link}."),
        "ar": _split("{brand} [استوديو|متجر الات موسيقية] في {city} / اسعار مناسبة {link}"),
    },
}  # fmt: skip

# What either side writes when it has nothing to say.
SHORT_BIOS = _split("hi / test / ... / hello / music / I love music / :) / me / n/a / just me / 音乐 / привет")


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
