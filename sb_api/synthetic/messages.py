"""A seeded generator of messages of several classes, and what it makes those of that moderators of a music database
get, on which the shipped intents are trained.

Every message is a core sentence of its class with slots filled in, between an opening and an ending that any class may
have, written carefully or carelessly. The same seed gives the same messages in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from string import ascii_lowercase

from sb_api.synthetic.bios import write

MOST_CORES = 10_000  # of a class


@dataclass(frozen=True, slots=True)
class SyntheticMessage:
    """One message of a class; messages of the same `core` sentence are variations of each other."""

    label: str
    text: str
    core: int


@dataclass(frozen=True)
class Tongue:
    """What messages of one language are made of besides their cores: what may stand in a slot, by its name, how a
    message may begin and end, and words that are written shorter."""

    slots: Mapping[str, Sequence[str]]
    openings: Sequence[str]
    endings: Sequence[str]
    slang: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Phrases:
    """What messages are made of: the `cores` of each class, each with its language; braces in one name slots, and of
    what `[stands|is]` in brackets one is taken."""

    cores: Mapping[str, Sequence[tuple[str, str]]]
    tongues: Mapping[str, Tongue]

    @property
    def labels(self) -> list[str]:
        return list(self.cores)


_SLOTS = {
    "artist": "Miles Davis|Björk|The Beatles|Aphex Twin|Nina Simone|Daft Punk|Arvo Pärt|Fela Kuti|Kate Bush|Radiohead|"
    "Boards of Canada|Joni Mitchell|Kraftwerk|Sun Ra|Sigur Rós|a band from my town|my favourite singer",
    "thing": "release|recording|album|cover|track list|label|work|artist page|release group|series|relationship|"
    "barcode|disc ID|event|place|tag|edit note|annotation",
    "page": "search page|edit page|release editor|artist page|collection page|profile page|login page|cover art page|"
    "tagger|mobile site|web service|report page",
    "client": "Firefox|Chrome|Safari|my phone|the Android app|Picard|my tablet|Edge|the API|Linux|Windows 11",
    "when": "today|since yesterday|for a week now|since the last update|every time|this morning|again and again|lately",
    "fault": "shows error 500|stays blank|never finishes loading|crashes|freezes|loses what I typed|logs me out|"
    "returns nothing|shows the wrong image|throws an exception|times out|puts everything in the wrong order",
    "goods": "watches|casino bonus|followers|pills|loans|crypto|sneakers|essays|backlinks|web hosting|seo service|"
    "forex",
    "price": "50% off|for free|from 9.99|with bonus|at the best price|cheap|with fast delivery|no deposit",
    "feature": "a dark mode|an export to CSV|batch editing|a better search|keyboard shortcuts|a way to merge tags|"
    "a notification by mail|an undo button|statistics for my collection|filters by country|a map of places",
    "field": "release date|country|catalogue number|ISRC|composer|producer|track length|disambiguation|barcode|"
    "language",
    "account": "password|e-mail address|user name|account|login|profile|subscription|confirmation mail|API token",
    "person": "this editor|an auto-editor|somebody|a new user|the moderator|one of your voters|another editor",
}

# Sentences of one class; braces name slots.
_CORES = {
    "praise": """thank you for this wonderful database
great work on the {page}, it is so much faster now
I love how complete the {thing} of {artist} is
you people are amazing, keep it up
just wanted to say that the new {page} looks fantastic
best music site there is, I use it {when}
thanks to {person} who fixed the {thing} so quickly
really happy with {feature}, well done
this community is so friendly and helpful
kudos to the team, the {page} is a pleasure to use
the data on {artist} is excellent, many thanks
what a great resource, I am impressed
everything works perfectly on {client}, brilliant job
I appreciate all the effort that goes into the {thing} data
awesome, my edits went through in no time
lovely site, beautiful {page}""",
    "complaint": """this is ridiculous, {person} voted down all my edits
I am very disappointed with how {person} treated me
why was my {thing} removed without a word, this is unfair
your rules make no sense and nobody explains them
I have waited for weeks and nobody answers, terrible
{person} is rude in every edit note
stop deleting my work on {artist}, I am fed up
the quality of the {thing} data has become awful
worst experience ever, I am leaving this site
it is outrageous that my edit of {artist} was rejected
I want to complain about {person}
nobody cares about new editors here, really annoying
the new {page} is horrible, I hate it
I am sick of {person} reverting my changes
voting takes far too long, unacceptable
such a waste of time, my {thing} was rejected for no reason""",
    "bug report": """the {page} {fault} on {client}
since the last update the {page} {fault}
when I save a {thing}, the site {fault}
there is a bug in the {page}: it {fault}
steps to reproduce: open the {page}, press save, it {fault}
I get an error message when I add a {thing} with {client}
the {page} is broken on {client}, it {fault} {when}
clicking on the {thing} does nothing, {client}, {when}
submitting the {thing} form fails with a stack trace
search for {artist} {fault}
the upload of a cover fails at 99 percent, then it {fault}
javascript error in the console when I open the {page}
the date field does not accept leap days, it {fault}
the {page} does not work {when}, reload does not help
text overlaps on the {page} with {client}
the {thing} disappears after saving, looks like a bug""",
    "spam": """buy {goods} {price} http://{goods}-shop.example
cheap {goods} online, {price}, visit www.best-{goods}.example
earn money from home, {price}, click here
hello dear, we offer {goods} {price}, contact us on telegram
get {goods} {price}!!! limited offer
best {goods} of 2024, order now {price}
increase your ranking with our {goods}, {price}
I made 5000 dollars a week with {goods}, ask me how
top rated {goods} service, {price}, see my site
exclusive deal: {goods} {price}, www.{goods}.example/promo
your website could earn more, we sell {goods} {price}
free {goods} for the first 100 visitors, sign up
trusted supplier of {goods}, {price}, whatsapp us
play and win at our {goods} site, {price}
discount code for {goods}: SAVE50, {price}
we are a professional {goods} company, {price}, call now""",
    "feature request": """could you please add {feature}
it would be nice to have {feature} on the {page}
feature request: {feature}
please support {feature} in {client}
I would like to see {feature} some day
any plans for {feature}?
can we have {feature} for every {thing}
suggestion: {feature} would save us a lot of time
I wish there was {feature} on the {page}
would you consider {feature}?
please make it possible to sort each {thing} by {field}
an idea: show the {field} on the {page}
how about {feature} for {client} users
we need {feature}, other sites have it
it would help if the {page} remembered my settings
adding {feature} would make editing easier""",
    "data question": """how do I enter the {field} of a {thing}?
what is the right {field} for the first {thing} of {artist}
should a reissue be a new {thing} or the same one
how do I credit a guest of {artist} on a {thing}
which {field} should I use when the cover says something else
is the {field} of this {artist} {thing} correct?
where do I put the {field} of a bootleg
do I merge these two pages of {artist}?
how are live versions of {artist} named in the guidelines
what does {field} mean for a digital {thing}
the {field} of {artist} differs from my CD, which one is right
can I add a {thing} without a {field}
how should I capitalise titles in this language
who is the {artist} on this {thing}, there are two of that name
what is the style for classical works by {artist}
is a promo by {artist} an official {thing}?""",
    "account question": """how can I change my {account}?
I forgot my {account}, how do I get in
please delete my {account}
I never got the mail to confirm my {account}
can I have two accounts with one {account}
I cannot log in with my {account} {when}
how do I become an auto-editor
my {account} was blocked, what can I do
how do I rename my {account}
the reset link for my {account} has expired
is it possible to merge my two accounts
someone else uses my {account}
where do I find my {account} settings
how long until my new account may vote
I want to close my account and remove my {account}
why does it say that my {account} is already taken""",
}
_OPENINGS = (
    "",
    "",
    "",
    "",
    "hi, ",
    "hello, ",
    "hey, ",
    "hi all, ",
    "good morning, ",
    "dear team, ",
    "so ",
    "ok, ",
    "well, ",
)
_ENDINGS = (
    "",
    "",
    "",
    "",
    "",
    ".",
    "!",
    "...",
    " thanks",
    " please help",
    " regards",
    " :)",
    " cheers",
    " lol",
    " ??",
    " !!!",
)
_SLANG = {
    "you": "u",
    "please": "pls",
    "are": "r",
    "thanks": "thx",
    "because": "cuz",
    "really": "rly",
    "great": "gr8",
    "love": "luv",
    "people": "ppl",
    "with": "w/",
    "want to": "wanna",
    "I am": "im",
}

INTENTS = Phrases(
    {intent: [("en", core) for core in cores.splitlines()] for intent, cores in _CORES.items()},
    {"en": Tongue({name: values.split("|") for name, values in _SLOTS.items()}, _OPENINGS, _ENDINGS, _SLANG)},
)


def generate_messages(count: int, seed: int, phrases: Phrases = INTENTS) -> Iterator[SyntheticMessage]:
    """`count` messages, every class as often as the others."""
    random = Random(seed)
    cores = list(phrases.cores.items())
    for number in range(count):
        place = number % len(cores)
        label, sentences = cores[place]
        chosen = random.randrange(len(sentences))
        language, core = sentences[chosen]
        tongue = phrases.tongues[language]
        slots = {name: random.choice(values) for name, values in tongue.slots.items()}
        text = " ".join(write(random, [core], slots, "").split())
        text = random.choice(tongue.openings) + text + random.choice(tongue.endings)
        yield SyntheticMessage(label, _write_carelessly(text, tongue.slang, random), place * MOST_CORES + chosen)


def split_by_core(
    messages: Sequence[SyntheticMessage], share: float, seed: int
) -> tuple[list[SyntheticMessage], list[SyntheticMessage]]:
    """Messages to learn from, and those of about `share` of each class's core sentences, which the others do not
    have."""
    random = Random(seed)
    held_out: set[int] = set()
    for place in sorted({message.core // MOST_CORES for message in messages}):
        cores = sorted({message.core for message in messages if message.core // MOST_CORES == place})
        held_out.update(random.sample(cores, round(share * len(cores))))
    return (
        [message for message in messages if message.core not in held_out],
        [message for message in messages if message.core in held_out],
    )


def _write_carelessly(text: str, slang: Mapping[str, str], random: Random) -> str:
    manner = random.random()
    if manner < 0.3:
        return text[0].upper() + text[1:]
    if manner < 0.4:
        return text.upper()
    if manner < 0.55:
        for word, short in slang.items():
            text = text.replace(word, short)
    letters = list(text.lower())
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        place = random.randrange(len(letters) - 1)
        match random.randrange(4):
            case 0:
                letters[place : place + 2] = letters[place : place + 2][::-1]
            case 1:
                del letters[place]
            case 2:
                letters.insert(place, letters[place])
            case _:
                letters[place] = random.choice(ascii_lowercase)
    return "".join(letters)
