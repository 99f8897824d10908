"""The phrase book of weather talk: patterns for units, roles, days, places and scope. Applying it is claims.py's."""

from __future__ import annotations

import re

from twainbot.evals.places_dates import MONTHS, WEEKDAYS


def any_of(*alternatives: str) -> str:
    """The alternatives as one group without a name."""
    return f"(?:{'|'.join(alternatives)})"


def words(*alternatives: str) -> re.Pattern[str]:
    """Any of the alternatives as whole words, in either case."""
    return re.compile(rf"\b{any_of(*alternatives)}\b", re.IGNORECASE)


# --- sentences and clauses ---------------------------------------------------------------------------------------------

SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"”’)]*(?=\s|$)|\n+")
ABBREVIATION = re.compile(r"\b(?:St|Mt|Ft|Mr|Mrs|Dr|Mo|Ill|a\.m|p\.m|approx|vs)\.$")
SEPARATOR = re.compile(
    any_of(
        r"(?<!\d)[,;:](?!\d)", r"(?<=\d),(?=\s)", r"[;:](?=\s)", r"[—()]", r"\s[–-]\s", r"--",
        rf"\b{any_of('but', 'yet', 'though', 'although', 'while', 'whereas', 'and then', 'except', 'because')}\b",
    ),
    re.IGNORECASE,
)  # fmt: skip

# --- words around a number ---------------------------------------------------------------------------------------------

DEGREES = re.compile(
    r"\s*(?:[°º]\s?(?P<sign>[FC])?\b|[°º]|-?degrees?(?:\s+(?P<word>fahrenheit|celsius|centigrade|F|C)\b)?|"
    r"(?P<bare>[FC])\b|(?P<name>fahrenheit|celsius)\b)",
    re.IGNORECASE,
)
ZERO_SIDE = re.compile(
    r"\s*(?:degrees?\s+)?(?:(?P<below>below(?:\s+zero)?)|above(?:\s+zero|(?=\s*(?:[,;:.!]|$|(?:by|in|at|"
    r"on|under|with|and|to|tomorrow|today|tonight|this)\b))))\b(?!\s+freezing)"
    r"(?:\s+(?:degrees?\s+)?(?P<unit>fahrenheit|celsius|centigrade|[FC])\b)?",
    re.IGNORECASE,
)
# "eighteen degrees colder", "down by eight", "drops thirteen degrees from Sunday": a difference is no temperature
DIFFERENCE_AFTER = re.compile(
    r"\s*-?(?:degrees?\s+|points?\s+)?(?:or so\s+)?(?:the\s+)?"
    r"(?:warmer|cooler|colder|hotter|higher|lower|milder|drier|wetter|better|worse|more|less|apart|of difference|"
    r"off|(?:above|below) (?:normal|average|yesterday|the|that|what|its))\b",
    re.IGNORECASE,
)
DIFFERENCE_BEFORE = re.compile(
    r"\b(?:warmer|cooler|colder|hotter|higher|lower|milder|up|down)\b[^,;.]{0,30}?\bby\s+(?:about\s+|some\s+)?$",
    re.IGNORECASE,
)
MOVES_BY = re.compile(
    r"\b(?:drop|fall|sink|rise|climb|gain|lose|shed|come down|go up)(?:s|ping|ing|es)?\s+(?:by\s+|about\s+|some\s+)*$",
    re.IGNORECASE,
)
PUT_ON = re.compile(
    r"\b(?:(?:puts?|putting) on|(?:takes?|took|taken) off|adds?|added|gains?|gained|loses?|lost|sheds?)\s+"
    r"(?:about\s+|some\s+)?$",
    re.IGNORECASE,
)
OF_A_DIFFERENCE = re.compile(
    r"\b(?:between|apart|differ\w*|make up|making up|than|more|less|from|of difference|distance|gap|climb\w*|drop\w*|falls?|"
    r"gains?|loses?|sheds?|rises?|comes? (?:up|down)|goes (?:up|down)|points?|ris(?:e|ing)|better|worse|beats?)\b",
    re.IGNORECASE,
)
OF_THE_REST = re.compile(
    r"\b(?:remain\w*|rest|other|others|against|dry|drier|miss\w*|spare[sd]?|escap\w*|not|n['’]t|without|"
    r"hold(?:s|ing)? off|nothing|"
    r"clear|fair|none|pass(?:es)? (?:you|us|by)|better of it)\b|n['’]t\b",
    re.IGNORECASE,
)
# "100 percent characteristic", "ninety percent of the conversation"
PERCENT_OF_MANNERS = re.compile(
    r"\s+(?!chance|likel|humid|odds|probab|certain|sure|for\b|of (?:rain|snow|a |being|getting|it|that|precip|storm|shower))"
    r"(?:of (?:the|his|her|its|their|my|your|our)\b|[a-z]{4,})",
    re.IGNORECASE,
)
DAMP = re.compile(r"\b(?:humid\w*|damp\w*|moist\w*|sticky|muggy|the air|close)\b", re.IGNORECASE)
# "it isn't rain, it's fog": no forecast of dryness, but a contrast
DENIED_FOR_CONTRAST = re.compile(
    r"(?:\b(?:it|this|that|they|there)(?:['’]s| is| was)? not|\b(?:it|this|that) (?:is|was|ai|wo)n['’]t|['’]?t(?:ai|is)n['’]?t|"
    r"\b(?:isn|ain)['’]t|\bnot(?: the| all| only)?|\bno longer|\b(?:don|doesn|won|can)['’]t(?: be| call it| say| amount to)?)"
    r"(?: a| the| any| so much as| all| just)?\s+$",
    re.IGNORECASE,
)
LEFT_OUT = re.compile(
    r"\b(?:asked|ask|inquired|blank|silent|silence|left (?:it |them |that |those )?out|leaves? out|"
    r"omit\w*|(?:not|n['’]t) (?:given|"
    r"said|say|stated|state|told|tell|mentioned|mention|reported|included|listed)|no (?:word|figure|"
    r"number|answer|mention|news|report|"
    r"wind|alert|low|high|odds|chance) (?:is |was |of |about |for |on |came|given|at all)|says? nothing|"
    r"said nothing|nothing (?:is )?(?:said|"
    r"told|given)|never (?:said|told|mentioned|a word)|not a word|mum)\b",
    re.IGNORECASE,
)
# what a place in a preposition's care may be named for besides its weather: "ten, as they say in Paris"
SAID_ELSEWHERE = re.compile(
    r"\b(?:say|says|said|call|calls|called|call it|reckon|speak|known|heard|lived|been|like|as|than|even|"
    r"back|folks|people|those|"
    r"one|days?|born|married|bury|buried|printed|published|as (?:they|you|we|folks|people|the \w+) \w+(?: it)?)\s+$",
    re.IGNORECASE,
)
OF_A_DEGREE = re.compile(
    r"\b(?:enough|much|many|a lot of|a great deal of|a deal of|more|any great|all that much)\s+(?:of a |of )?$",
    re.IGNORECASE,
)
LEFT_BEHIND = re.compile(
    r"\b(?:los(?:e|es|ing)|lost|sheds?|rid of|done with|through with|behind|past|out of|escapes?|miss|leaves?|spared|swaps?|"
    r"trades?|exchanges?|instead of|rather than|after)\b[^.;!?]{0,60}$",
    re.IGNORECASE,
)
TAKEN_FOR = re.compile(
    r"\b(?:think(?:ing|s)?|thought|tak(?:e|es|ing)|took|mistak\w+|mistook|call(?:s|ed|ing)?)\s+"
    r"(?:it|them|that|this|him|her)\s+(?:for |to be |a )?$|\bpass(?:es)? for\s+(?:a )?$",
    re.IGNORECASE,
)
# "there is", "you'll have", "look for": what makes a sentence a forecast
ANCHORED = re.compile(
    r"\b(?:will|shall|won['’]t|it is|it['’]s|there(?:['’]s| is| are)|going to|gonna|fixing to|due|"
    r"expect\w*|look (?:for|out)|forecast\w*|"
    r"predict\w*|promis\w*|call(?:s|ing)? for|chances?|odds|warnings?|watch|advisory|now|just now|this|here|there will|"
    r"morning|noon|afternoon|evening|night|midnight|bring|brings|gets?|has|have|comes?|see|sees)\b|"
    r"['’]ll\b|['’]s a-|a-[a-z]+in",
    re.IGNORECASE,
)
KILOMETERS = re.compile(r"\s*-?kilomet(?:er|re)s?\b", re.IGNORECASE)
AT_THE_TOP = re.compile(
    r"\s*(?:at|for) (?:the|its|a) (?:top(?! of)|best|warmest|highest|high|bottom|foot|worst|coldest|coolest|lowest|low)\b|"
    r"\s*(?:by day|by night|overnight|after dark)\b",
    re.IGNORECASE,
)
FROM_ELSEWHEN = re.compile(r"\s*(?:degrees?\s+|points?\s+)?(?:or so\s+)?(?:from|since|off|between)\b", re.IGNORECASE)
# a number that no unit follows may be in the reader's scale instead of the tool's where the sentence speaks of scales
SECOND_SCALE = re.compile(
    r"\b(?:celsius|centigrade|fahrenheit|metric|scales?|thermometers?|reckoning|money|degrees of (?:ours|theirs)|"
    r"continent(?:al)?|french(?:man|men)?|europeans?|americans?|english(?:man|men)?|christians?|"
    r"(?:which|that) (?:is|comes|makes|amounts)|comes to|works out|call it|translat\w+|conver\w+|"
    r"(?:our|their|your) (?:own )?(?:degrees|side|way)|(?:is|are|of) (?:ours|theirs|yours))\b|"
    r"\bor\s+(?:about\s+|near(?:ly)?\s+|some\s+|roughly\s+)?(?=\S+(?:\s\S+)?)",
    re.IGNORECASE,
)
PERCENT = re.compile(r"\s*(?:%|-?per\s?cent\b)", re.IGNORECASE)
SPEED = re.compile(
    r"\s*-?(?:(?P<mph>mph|m\.p\.h\.?|miles?[- ](?:per|an|to the)[- ]hour)|"
    r"(?P<kph>km/h|kph|kmh|kilomet(?:er|re)s?[- ](?:per|an)[- ]hour)|"
    r"(?P<kn>knots?|kts?)|(?P<ms>m/s|met(?:er|re)s? (?:per|a) second))(?!\w)",
    re.IGNORECASE,
)
OTHER_QUANTITY = re.compile(
    r"\s*(?:['’:]\d|-?(?:st|nd|rd|th)\b|[ap]\.?m\b|o['’]clock|in\.|degrees? of\b|-?"
    + any_of(
        "hours?", "minutes?", "seconds?", "days?", "nights?", "weeks?", "months?", "years?", "inch(?:es)?", "feet", "foot",
        "miles?", "dollars?", "cents?", "times?", "men", "people", "souls", "dogs", "cats", "cows", "mules", "hats",
        "steamboats", "towns", "reasons", "ways", "things", "points?", "percentage points?",
    )
    + r"\b)",
    re.IGNORECASE,
)  # fmt: skip
RANGE_JOIN = re.compile(r"\s*(?:to|and|through|or|[-–—])\s*$", re.IGNORECASE)
BETWEEN = re.compile(r"\bbetween\s*(?:the\s+)?(?:lows?\s+of\s+)?$", re.IGNORECASE)
DECADE_PART = re.compile(
    r"(?P<part>lower|low|mid(?:dle)?|upper|high)(?:[-\s]+to[-\s]+(?P<to>mid(?:dle)?|upper|high))?[-\s]+(?:the\s+)?$",
    re.IGNORECASE,
)
DECADE_PARTS = {"low": (0, 3), "lower": (0, 3), "mid": (3, 7), "middle": (3, 7), "upper": (6, 9), "high": (6, 9)}
NO_DECADE_LEFT = re.compile(r"(?:\b(?:his|her|their|my|your)|eighteen|nineteen)\s+(?:\w+\s+)?$", re.IGNORECASE)
HALF_AND_HALF = words("fifty-fifty", "50[-/ ]50", "even (?:chance|odds)", "flip of a coin", "coin[- ]toss")
IN_SO_MANY = re.compile(
    r"[-\s]*(?:(?:chances?|parts?|odds)\s+)?(?:in|out of)[-\s]+(?:(?:every|the|any)\s+)?(?:an?\s+(?=$))?$",
    re.IGNORECASE,
)
IN_OR_TO_ONE = re.compile(  # "one in four", "thirty to seventy": a number beside the rain, whatever it is a chance of
    r"\b(?:[a-z]+|\d+) (?:chances? )?(?:in|out of) (?:an? |the |every )?(?:two|three|four|five|six|seven|eight|nine|ten|twenty|"
    r"hundred|\d+)\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|[a-z]+ty|\d+) to (?:one|two|three|[a-z]+ty|\d+)\b",
    re.IGNORECASE,
)
NO_CHANCE = re.compile(
    r"\b(?:chances?|odds)(?: of (?:it|that|rain|snow|a shower))? (?:is|are|stands? at) (?:nil|nothing|"
    r"none|naught|nought|zero)\b|"
    r"\bno (?:chance|possibility)(?: at all| what(?:so)?ever)?(?=\s*(?:$|[,;.!]))",
    re.IGNORECASE,
)
FREEZING = re.compile(r"\b(?P<side>below|under|above) freezing\b", re.IGNORECASE)

_NO_DECADE = r"(?!\s*-?\s*(?:to\s+\w+\s+)?(?:\d0['’]?s|teens|twent|thirties|forties|fift|sixties|sevent|eight|ninet))"
_HIGH = any_of(
    rf"highs?{_NO_DECADE}", "tops?(?! of)(?:ping)?(?: out)?", r"peak\w*", r"climb\w*", r"reach\w*", "ris(?:e|es|ing)",
    "warm(?:s|ing)?(?: up)? to", "max(?:imum)?", "daytime", "by day", "afternoons?", "midday", "noon",
)  # fmt: skip
_LOW = any_of(
    rf"lows?{_NO_DECADE}", r"bottom\w*", "dips?", "dipping", r"drop\w*", "falls?", "falling", r"sink\w*", "min(?:imum)?",
    "overnight", "by night", "at night", "nightfall", "after dark", "cool(?:s|ing)?(?: off| down)? to", "before dawn",
    "by dawn",
)  # fmt: skip
ROLE_NOUN = words("highs?", "lows?", "max(?:imum)?", "min(?:imum)?", "tops?", "bottom", "peak")
ROLE = re.compile(rf"\b(?:(?P<high>{_HIGH})|(?P<low>{_LOW}))\b", re.IGNORECASE)
ROLE_BEFORE = re.compile(
    rf"\b(?:(?P<high>{_HIGH})|(?P<low>{_LOW}))(?:\s+(?:of|near|at|around|about|is|to|a|just|only))*\s*$", re.IGNORECASE
)
ROLE_AFTER = re.compile(
    r"^\s*(?:for|as|is|at|in)?\s*(?:the|a|its)?\s*"
    r"(?:(?P<high>highs?|by day|daytime|top\b(?! of)|best|most|warmest|highest|by (?:afternoon|midday|noon))|"
    r"(?P<low>lows?|by night|overnight|at night|bottom|foot|worst|least|coldest|coolest|lowest|"
    r"(?:by|before|towards?) (?:dawn|daybreak|sunrise|sunup|morning|breakfast)|after dark))\b",
    re.IGNORECASE,
)
# what a number without a unit may follow, with at most five words between
ANCHOR = re.compile(
    rf"\b(?:(?P<temperature>{_HIGH}|{_LOW}|temperatures?|mercury|thermometer)|"
    r"(?P<chance>chances?|odds|probability|likelihood)|(?P<humidity>humidity)|"
    r"(?P<wind>winds?|gusts?|gusting|breezes?|blow(?:s|ing)?))\b(?:\s+[a-z'’]+){0,5}?\s*:?\s*$",
    re.IGNORECASE,
)
# "it will be 71 in Reno": a number right after the verb and before nothing that it could count
VERB_ANCHOR = re.compile(
    r"\b(?:expect|gets?|sees?|hits?|stands? at|sits? at|(?:will|shall) be|['’]ll be|it['’]s|it is)"
    r"(?:\s+(?:about|around|near|nearly|only|just|roughly))?\s+$",
    re.IGNORECASE,
)
# what may stand before a number that is a reading and says not of what: "Saturday: sixty-nine", "no higher than sixty-six"
STANDS_ALONE = re.compile(
    r"(?:^|[.,;:!?—–(]|--|\b(?:at|to|of|be|is|was|are|about|around|near|nearly|only|just|than|and|or|has|have|get|gets|got|a|"
    r"reach(?:es)?|hits?|touch(?:es)?|makes?|sees?|shows?|says?|past|over|under|merely|barely|comes? to|"
    r"(?:mild|cool|warm|hot|cold|chilly|pleasant|balmy|bitter|raw|modest|fine|bare|scant|full)))\s*[\"“']?$",
    re.IGNORECASE,
)
OF_THE_CLOCK = re.compile(
    r"\b(?:page|chapter|verse|volume|number|aged?|since|until|in (?:the )?(?:year )?|" + any_of(*MONTHS) + r")\s+$",
    re.IGNORECASE,
)
PART_OF_A_NAME = re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+")  # "in Ten Sleep"
COUNTS_NOTHING = re.compile(
    r"\s*[\"”']?(?:[.,;:!?—)]|--|$|(?:in|on|at|by|and|or|with|under|over|for|from|when|before|after|"
    r"without|below|above|tomorrow|"
    r"today|tonight|this|that|overnight|again|already|though|but|if|as)\b)",
    re.IGNORECASE,
)
HUMIDITY = words("humidity")
LIKELIHOOD = words("chances?", "odds", "probability", "likelihood")

# --- conditions ------------------------------------------------------------------------------------------------------------

_NO_MEANS_YES = any_of(
    "worse",
    "better",
    "doubt",
    "question",
    r"mistak\w*",
    "denying",
    "wonder",
    "less",
    "more than",
    "end",
    "fewer",
    "sooner",
    "longer",
)
NEGATOR = re.compile(
    rf"\b(?:no(?!\s+{_NO_MEANS_YES})|(?<!than )(?<!as )(?<!or )(?<!if )"
    r"not(?! (?:only|just|merely|all|entirely|altogether|always|with|when|while|until|till|unless))|"
    r"never(?! mind)|nary|without|nor|neither|hardly|scarcely|none|nobody|no one|nothing(?! (?:but|worse|"
    r"more|less|better|short))|free of|devoid of|lack of|"
    r"(?<!below )(?<!above )(?<!under )zero(?! (?:celsius|fahrenheit|degrees)))\b|"
    r"(?:n['’]t|cannot)\b(?! (?:forget|let|be surprised|wonder|mind|worry|fret|"
    r"decide|settle|choose|agree|(?:be )?all|be both|make up|"
    r"(?:be )?(?:nothing|anything|no) (?:but|worse|more|less|better))\b)|"
    r"\bt(?:ai|wo)n['’]?t\b",
    re.IGNORECASE,
)
NEGATED_AFTER = re.compile(
    r"^\s+(?:(?:is|are|looks?|seems?)\s+(?:not|nowhere|out of)|(?:is|are|ai)n['’]t)\b|"
    r"^\s+(?:(?:will|shall|does|do)\s+not|(?:wo|does|do)n['’]t)\s+(?:\w+ )?(?:be|come|arrive|fall|show|appear|reach|visit|"
    r"happen|materiali[sz]e|figure|trouble|bother|look|seem|hit|touch|get|make|spoil|last|stay|threaten)\b|"
    r"^\s+(?:(?:will|shall|is|are|has|have|['’]s) )+(?:be |been |all )*(?:gone|over|done with|past|passed|"
    r"moved (?:on|off|out|away)|ended|stopped|"
    r"quit|stop|end|pass|cleared|clear (?:off|out)|blown (?:off|out|over))\b|"
    r"^\s+(?:is|was|are|were|will be|remains?|stays?) (?:\w+ly )?(?:absent|unavailable|missing|hidden|away|elsewhere)\b|"
    r"^\s+(?:(?:is|was|are|were|being|has been|having) )?(?:excused|dismissed|resigned|retired|declin\w+|"
    r"denied|deposed|banished|"
    r"abolished|forbidden|indisposed|postponed|cancell?ed|absent|on (?:leave|holiday|strike)|off duty|hiding|nowhere)\b",
    re.IGNORECASE,
)
DEPARTS = re.compile(
    r"\s+(?:goes|go|leaves?|quits?|departs?|ends?|stops?|passes|moves? (?:on|off|out)|clears? (?:off|out)|lets? up)\b",
    re.IGNORECASE,
)
UNTIL = re.compile(r"\s+(?:[a-z]+ )?(?:until|till|before|unless)\b", re.IGNORECASE)
OF_STAYING_DRY = re.compile(
    r"^[^,;.!?]*?\b(?:stay\w*|remain\w*|keep\w*|being|of) (?:it )?dry\b|^[^,;.!?]*?\b(?:no|without) rain\b",
    re.IGNORECASE,
)
LIST_GOES_ON = re.compile(r"^\s*(?:(?:or|nor|no|and no)\b|[a-z]+\s*(?:,|\bor\b|\bnor\b|[.!;]|$))", re.IGNORECASE)
UNLIKELY = words(
    "unlikely", "doubtful",
    "(?:little|slim|scant|small|poor|remote|low|hardly any|hardly a) (?:chance|odds|prospect|risk|likelihood)",
)  # fmt: skip
POSSIBLE = re.compile(
    r"\b(?:chances?|may|might|could|possib\w+|perhaps|maybe|likely|odds|risk|threat|potential|scattered|isolated|"
    r"probability|likelihood|per\s?cent|prospects?)\b|%",
    re.IGNORECASE,
)
_HAZARD = any_of(
    "tornado", "severe thunderstorm", "thunderstorm", "tropical storm", "winter storm", "winter weather", "ice storm",
    "flash flood", "coastal flood", "flood", "excessive heat", "heat", "high wind", "wind chill", "wind", "blizzard", "frost",
    "hard freeze", "freeze", "red flag", "fire weather", "dense fog", "fog", "hurricane", "gale", "snow",
)  # fmt: skip
CERTAIN = re.compile(
    r"(?<!not )(?<!n['’]t )(?<!n['’]t a )(?<!not a )(?<!no )(?<!nothing )(?<!hardly )(?<!never )(?<!to be )(?<!than )"
    r"(?<!for )\b"
    r"(?:certain(?:ly|ty)?|sure(?: thing)?|surely|guaranteed|inevitabl\w+|bound to|beyond (?:any |all |a )?(?:doubt|question)|"
    r"without (?:a )?(?:fail|doubt|question)|(?:no|not a) (?:doubt|question)\b(?! but)|as gospel|depend (?:up)?on it|"
    r"never was surer|(?:can|may|could) (?:\w+ )?count on(?! an? (?:low|high)\b| \d))\b|\bfor (?:certain|sure)\b",
    re.IGNORECASE,
)
LABELLED_PERCENT = re.compile(r"^\s*[:(–-]*\s*\d+\s*(?:%|per\s?cent)", re.IGNORECASE)  # "Rain: 30%"
ALERT = re.compile(
    rf"\b(?:(?P<hazard>{_HAZARD}|(?-i:(?!(?:A|An|The|No|Another|This|That|Any|And|"
    rf"Or)\b)[A-Z][a-z]+(?: [A-Z][a-z]+){{0,2}}))\s+)?"
    r"(?P<type>warnings?|watch(?:es)?|advisor(?:y|ies)|alerts?)\b",
    re.IGNORECASE,
)
WIND = words("winds?", "breezes?", "gusts?", "blow(?:s|ing)?", "zephyr")
DIRECTION = re.compile(
    r"\b(?:(?P<word>(?:[Nn]orth|[Nn]or['’]?(?=[- ]?(?:east|west)))(?:[- ]?(?:east|west))?|"
    r"(?:[Ss]outh|[Ss]ou['’]?(?=[- ]?(?:east|west)))(?:[- ]?(?:east|west))?|[Ee]ast|[Ww]est)(?:erly)?|"
    r"(?P<code>[NSEW]{1,3}))\b"
)

# --- days and places ---------------------------------------------------------------------------------------------------------

DAY = words(
    "(?:the )?day after tomorrow", "tomorrow", "today", "tonight", "this (?:evening|weekend)", "(?:the|over the) weekend",
    *WEEKDAYS, r"\d{4}-\d\d-\d\d", rf"{any_of(*MONTHS)}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?",
)  # fmt: skip
_NAME = r"(?:(?:St|Mt|Ft)\.?\s)?[A-Z][a-zà-ÿ]+(?:[ -][A-Z][a-zà-ÿ]+){0,2}"
_NO_REGION = any_of(*(day.capitalize() for day in WEEKDAYS), "Today", "Tonight", "Tomorrow", "Yes", "No", "I")
REGION = rf"(?:,\s*(?!{_NO_REGION}\b)(?:[A-Z]{{2}}\b|[A-Z][a-z]+(?:\s[A-Z][a-z]+)?))"
_PLACE_VERB = "will|gets?|sees?|has|is|can|should|faces|enjoys"
_DAY_WORD = "on|this|today|tonight|tomorrow"
PLACE = re.compile(
    rf"\b(?:[Ii]n|[Aa]t|[Ff]or|[Oo]ver|[Aa]round|[Nn]ear|[Aa]cross|visit(?:ing)?)\s+(?P<after>{_NAME}{REGION}?)|"
    rf"(?:^|(?<=\s))(?P<full>{_NAME}{REGION})(?=[\s:,.]|$)|"
    r"^\s*(?P<opening>(?!(?:In|At|For|Over|Around|Near|Across)\s)"  # "For Louisville on Monday" names Louisville
    rf"(?:(?:St|Mt|Ft)\.?\s|[A-Z][a-z]+\s)[A-Z][a-zà-ÿ]+)(?=:|\s+(?:{_PLACE_VERB}|{_DAY_WORD})\b)|"
    rf"(?<=[a-z,] )(?P<subject>{_NAME})(?=\s+(?:{_PLACE_VERB})\b)"
)
# one capitalised word that opens a sentence: a place only where weather follows close on its verb
_DAYS_NAMED = rf"(?:\s+(?:(?:on|this) )?{any_of('today', 'tonight', 'tomorrow', *WEEKDAYS)})"
LONE_OPENING = re.compile(
    rf"^\s*[\"“]?(?P<town>[A-Z][a-zà-ÿ]{{2,}})(?i:{_DAYS_NAMED}:|{_DAYS_NAMED}?"
    r"\s+(?:(?:will|shall|is going to|is to) (?:have|be|get|see|stay|go)|gets?|sees?|has|is|stays|stands at|drops to|"
    r"climbs to|tops out at|reaches)\b)\s*"
)
LONE_OPENING_REACH = 24  # characters from the verb to the first word of weather: "a light ", "mostly "
WITH_ARTICLE = re.compile(r"\b(?:the|an?|my|our|your|every|this|that)\s+(?-i:[A-Z]\S+\s+)*$", re.IGNORECASE)
DEMONYM = re.compile(r"(?:American|European|[A-Z][a-z]+(?:ish|ese|ian|ean)|French|Dutch)$")
NO_PLACE = frozenset({
    *(day.capitalize() for day in WEEKDAYS), *(month.capitalize() for month in MONTHS), "Fahrenheit", "Celsius", "God",
    "Heaven", "Lord", "Providence", "Nature", "Mother", "Mark", "Twain", "Mr", "Mrs", "Dr", "Sam", "Tom", "Huck", "Franklin",
    "Poor", "Noah", "Congress", "Christmas", "Easter", "I", "The", "It", "That", "This", "Tonight", "Tomorrow", "Today",
    "Rain", "Sun", "Snow", "Wind", "Winds", "High", "Highs", "Low", "Lows", "Weather", "Expect", "Well", "Yes", "No",
    "Nothing", "Nobody", "Everything", "Everybody", "Anything", "Something", "Someone", "Anyone", "Everyone", "None", "All",
    "There", "Here", "What", "Which", "Who", "Whoever", "He", "She", "We", "You", "They", "These", "Those", "My", "Your",
    "His", "Her", "Our", "Their", "One", "Each", "Both", "Half", "Most", "Some", "Any", "Many", "Much", "Morning", "Mornings",
    "Afternoon", "Afternoons", "Evening", "Evenings", "Night", "Nights", "Nightfall", "Noon", "Midday", "Midnight", "Dawn",
    "Daybreak", "Sunrise", "Sunset", "Dusk", "Day", "Days", "Daylight", "Weekend", "Week", "Summer", "Winter", "Spring",
    "Autumn", "Fall", "Skies", "Sky", "Air", "Heat", "Cold", "Chill", "Frost", "Ice", "Thunder", "Lightning",
    "Humidity", "Temperature", "Temperatures", "Mercury", "Thermometer", "Barometer", "Gusts", "Breeze", "Breezes", "Chance",
    "Chances", "Odds", "Visibility", "Outlook", "Prediction", "Bureau", "Conditions", "Condition", "Otherwise", "Elsewhere",
    "Afterward", "Afterwards", "Then", "Now", "Later", "Overnight", "Folks", "Farmers", "Citizens", "Officials", "Authorities",
    "Residents", "Patience", "Fortune", "Time", "Mankind", "Man", "People", "Friend", "Sir", "Madam", "Umbrella", "Umbrellas",
    "North", "South", "East", "West", "Northwest", "Northeast", "Southwest", "Southeast", "Mississippi", "Forecast",
})  # fmt: skip

# --- what asserts nothing --------------------------------------------------------------------------------------------

ANECDOTE = words(
    "I (?:once|remember|recall|recollect|knew|never saw|saw|was born|have seen|have known)", "once (?:saw|knew|heard|upon)",
    "remember(?:s|ed)? (?:when|the)", "when I was", "in my (?:day|youth|boyhood|piloting|younger)", "as a boy", "years ago",
    "back in", "used to", "last (?:year|winter|summer|week|spring|fall|month)", "there was (?:a|once)",
    r"I (?:took|went|was|bought|paid|lost|came|crossed|walked|sat|stood|slept|met|carried|lived|spent|rode|mined|ran|waited|"
    r"wore|ate|drank|tried|preached|lectured|froze|worked|married|buried) (?!you\b)[^,;:]*",
    r"in (?:the (?:winter|summer|spring|fall) of )?(?:18|19)\d\d", r"in ['’]\d\d", "knew a (?:man|fellow|woman|pilot)",
    "my (?:uncle|aunt|father|mother|brother)", "the time (?:when|that|we|I)",
)  # fmt: skip
ANECDOTE_ENDS = re.compile(r"[;—]|\s-\s|--")  # what stands before one is not part of the tale after it
PAST = words(
    "was", "were", "had", "got", "fell", "came", "went", "blew", "said", "told", "froze", "melted", "rained", "snowed",
    "stood", "hit", "did",
)  # fmt: skip
FORECAST = re.compile(
    r"\b(?:will|won['’]t|going to|expect\w*|forecast|tomorrow|tonight|today|this (?:weekend|evening)|calls for)\b|['’]ll\b",
    re.IGNORECASE,
)
# what parts one figure's place and day from the next one's
PARTS = re.compile(r"[,;:—]|--|\b(?:and|but|while|whereas|then)\b", re.IGNORECASE)
# "a preacher's Monday", "any Tuesday": no day of the calendar
ANY_DAY = re.compile(r"(?:['’]s|s['’]|\b(?:an?|any|every|last|another|some|like))\s+$", re.IGNORECASE)
COMPARED_DAY = re.compile(r"\b(?:than|unlike|like|from|since|after|following|as|not)\s+(?:on\s+)?$", re.IGNORECASE)
NO_PROMISE = re.compile(
    r"\bno [a-z]+ to (?:promise|offer|sell|report|hint|announce)\b|"
    r"\bmay\b[^.;:!?]*\bmay not\b|(?:\b(?:nobody|no one|none|not|never)|n['’]t|\bcannot)\s+(?:\w+\s+)?"
    r"(?:promis|guarante|swear|vouch|warrant)\w*|"
    r"\b(?:nobody|no one|none)\s+(?:\w+\s+)?(?:know|measur|report|say|said|saw|ask)\w*",
    re.IGNORECASE,
)
FOR_ALL_THE = re.compile(r"\b(?:see|find|tell|make out|know)\b[^,;.]*\bfor (?:the |all the )?$", re.IGNORECASE)
_ARTICLE = "(?:a|an|the|any|my|your|his|her)"
SIMILE = re.compile(
    rf"\b(?!dry as (?:a bone|dust)|(?:as |so )?(?:much|soon|well|far|long|many|good|likely) as )"
    rf"(?:like (?:old|{_ARTICLE})|(?:as )?[a-z]+ as (?:if|{_ARTICLE})|[a-z]+er than {_ARTICLE}|as (?:though|if))\b[^,;.!?]*",
    re.IGNORECASE,
)
HYPOTHESIS = re.compile(
    r"\b(?:if|unless|suppos(?:e|ing)|imagine|were it|should it|in case|lest|whether|would|wish|ought to have|"
    r"too [a-z]+ for|could (?:have|tell|say|invent|give|sell|make|write|claim|promise|swear))\b|"
    r"['’]d (?:be|have|of|rather|like)\b",
    re.IGNORECASE,
)
ADMISSION = words(
    "(?<!it )(?<!there )(?:can|could)(?:not|n['’]t)", "unable",
    "(?:do|does|did)(?:n['’]t| not) (?:know|say|have)", "failed", r"declin\w+",
    "won['’]t (?:guess|say|invent|venture)", "no (?:word|telling|idea|report|way of knowing|knowledge)", "refuse to",
    "would(?:n['’]t| not) (?:guess|venture)", "rather not",
)  # fmt: skip
ADMISSION_ENDS = re.compile(r"\b(?:but|however|yet)\b|[;:—]|\b(?:it|there|you)(?:['’]ll| will)\b", re.IGNORECASE)
