"""The functions that a repair may call: deterministic, of one message alone, and of bounded size.

Anything that reads a table, a dictionary, a file, the clock or the server is missing, and so is
what makes a long text or array from a number (``repeat``, ``range``). The names are in lower case;
ClickHouse's own spelling decides whether it knows one.
"""

from __future__ import annotations

_CONDITIONS = "if multiif ifnull nullif coalesce isnull isnotnull assumenotnull tonullable"
_OPERATORS = (
    "equals notequals less greater lessorequals greaterorequals and or not xor in notin plus minus "
    "multiply divide intdiv modulo negate abs round floor ceil least greatest like notlike ilike "
    "notilike match concat tupleelement arrayelement lambda tuple array map"
)
_TEXT = (
    "length lengthutf8 empty notempty lower upper lowerutf8 upperutf8 substring substr "
    "substringutf8 left right leftutf8 rightutf8 trim trimleft trimright trimboth ltrim rtrim "
    "replace replaceone replaceall replaceregexpone replaceregexpall extract extractall "
    "extractgroups position positionutf8 positioncaseinsensitive startswith endswith "
    "splitbychar splitbystring splitbyregexp arraystringconcat concatwithseparator "
    "format reverse reverseutf8 tovalidutf8 isvalidutf8 base64decode trybase64decode base64encode "
    "unhex hex decodeurlcomponent encodeurlcomponent decodehtmlcomponent decodexmlcomponent "
    "normalizeutf8nfc translate "
    "translateutf8 countsubstrings convertcharset"
)
_JSON = (
    "isvalidjson jsonhas jsonlength jsontype jsonkey jsonextract jsonextractuint jsonextractint "
    "jsonextractfloat jsonextractbool jsonextractstring jsonextractraw jsonextractarrayraw "
    "jsonextractkeysandvalues jsonextractkeysandvaluesraw jsonextractkeys jsonmergepatch "
    "tojsonstring json_value json_query json_exists"
)
_VALUES = (
    "cast tostring tofixedstring tobool todate todate32 todatetime todatetime64 todecimal32 "
    "todecimal64 todecimal128 todecimalstring touuid toipv4 toipv6 accuratecast accuratecastornull "
    "accuratecastordefault parsedatetime parsedatetimeornull parsedatetimeorzero "
    "parsedatetimebesteffort parsedatetimebesteffortornull parsedatetime64besteffort "
    "parsedatetime64besteffortornull parsedatetimeinjodasyntax parsedatetimeinjodasyntaxornull "
    "formatdatetime formatdatetimeinjodasyntax fromunixtimestamp fromunixtimestamp64milli "
    "fromunixtimestamp64micro fromunixtimestamp64nano tounixtimestamp tounixtimestamp64milli "
    "totimezone siphash64 cityhash64 md5 sha256"
)
_ARRAYS = (
    "arraymap arrayfilter arrayexists arrayall arrayfirst arraylast arraycount arraysum "
    "arrayconcat arrayslice arraydistinct arraysort arrayreverse has indexof arraycompact "
    "arraypushback arraypushfront mapkeys mapvalues mapcontains mapfilter mapapply mapfromarrays"
)
_NUMBERS = frozenset(
    f"to{kind}{bits}{suffix}"
    for kind, sizes in {
        "int": (8, 16, 32, 64, 128, 256),
        "uint": (8, 16, 32, 64, 128, 256),
        "float": (32, 64),
    }.items()
    for bits in sizes
    for suffix in ("", "ornull", "orzero", "ordefault")
)
_OR_NULL = frozenset(
    f"to{kind}ornull"
    for kind in ("date", "date32", "datetime", "datetime64", "uuid", "ipv4", "ipv6")
)

FUNCTIONS = (
    frozenset(" ".join((_CONDITIONS, _OPERATORS, _TEXT, _JSON, _VALUES, _ARRAYS)).split())
    | _NUMBERS
    | _OR_NULL
)
