"""From the words of a script to what it says (packetdrill's parser.y, as far as it is needed).

What the language has and the model has not (other protocols, encapsulation, ECN) is read as
such, so that a script can be refused by the name of it; only what no packetdrill would read
is a ``ScriptError``.
"""

from __future__ import annotations

from desim.conform.packetdrill.errors import ScriptError
from desim.conform.packetdrill.lexer import Token, tokens
from desim.conform.packetdrill.script import (
    ANYTHING,
    Code,
    Command,
    Event,
    Expression,
    Function,
    IcmpError,
    Names,
    OtherPacket,
    Packet,
    Script,
    Struct,
    SystemCall,
    TcpOption,
    When,
)

MOST_DIGITS = 18
DEEPEST = 16
"""How far lists and structures may lie in each other."""
FLAG_LETTERS = frozenset("FSRP.UEWA0123456789")
_SECOND = 1_000_000_000
_OTHER = ("udp", "ipv4", "ipv6", "gre", "GREv0", "mpls", "encap", "raw")


def parse(text: str) -> Script:
    """Read a script; raises ``ScriptError``."""
    return _Parser(text).script()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    # Words.

    def _peek(self) -> Token:
        if self._at < len(self._tokens):
            return self._tokens[self._at]
        line = self._tokens[-1].line if self._tokens else 1
        return Token("end", "", line, len(self._text), len(self._text))

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, text: str) -> bool:
        token = self._peek()
        return token.kind in ("symbol", "word") and token.text == text

    def _take(self, text: str) -> bool:
        found = self._is(text)
        if found:
            self._at += 1
        return found

    def _want(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(f"'{text}'")

    def _unexpected(self, wanted: str) -> ScriptError:
        token = self._peek()
        if token.kind == "end":
            return ScriptError(token.line, f"the script ends where {wanted} is expected")
        source = self._text[token.start : token.end].split("\n")[0][:40]
        return ScriptError(token.line, f"expected {wanted}, found {source!r}")

    def _since(self, start: int) -> str:
        """The script's own words from ``start`` on, on one line."""
        end = self._tokens[self._at - 1].end
        return " ".join(self._text[start:end].split())

    def _integer(self, what: str, bits: int) -> int:
        token = self._peek()
        if token.kind not in ("integer", "hex"):
            raise self._unexpected(what)
        number = self._number(token)
        if not 0 <= number < 1 << bits:
            raise ScriptError(token.line, f"{what} {number} does not fit in {bits} bits")
        self._at += 1
        return number

    def _number(self, token: Token) -> int:
        if len(token.text) > MOST_DIGITS:
            raise ScriptError(token.line, f"{token.text[:20]}… is too large a number")
        return int(token.text, 16 if token.kind == "hex" else 10)

    # The whole.

    def script(self) -> Script:
        options = []
        while self._peek().kind == "option":
            options.append(self._option())
        setup = []
        while self._peek().kind == "command":
            token = self._next()
            setup.append((token.line, Command(token.text)))
        events: list[Event] = []
        while self._peek().kind != "end":
            if self._peek().kind == "command":
                # The last command of a script cleans up; nothing is left to be cleaned here.
                token = self._next()
                if self._peek().kind != "end":
                    raise ScriptError(token.line, "a command between events needs a time")
                break
            events.append(self._event())
        if not events:
            raise ScriptError(self._peek().line, "no events in it")
        first = events[0].when
        if first.start_ns or first.any:
            raise ScriptError(events[0].line, "the first event must be at time 0")
        return Script(tuple(options), tuple(setup), tuple(events))

    def _option(self) -> tuple[int, str, str]:
        token = self._next()
        value = ""
        if self._take("="):
            if self._peek().kind in ("end", "option"):
                raise self._unexpected("a value")
            value = self._next().text
            # An IPv6 address is several words here.
            while self._take(":"):
                value += ":" + self._next().text
            if self._take("="):
                self._define(value)
        return token.line, token.text, value

    def _define(self, name: str) -> None:
        """``--define=NAME=VALUE``: from here on the word means that value."""
        value = self._next()
        for at in range(self._at, len(self._tokens)):
            token = self._tokens[at]
            if token.kind == "word" and token.text == name:
                self._tokens[at] = token._replace(kind=value.kind, text=value.text)

    def _event(self) -> Event:
        line = self._peek().line
        when = self._when()
        token = self._peek()
        action: Packet | IcmpError | OtherPacket | SystemCall | Command | Code
        if self._is("<") or self._is(">"):
            action = self._packet()
        elif token.kind == "command":
            action = Command(self._next().text)
        elif token.kind == "code":
            action = Code(self._next().text)
        elif token.kind in ("word", "ellipsis"):
            action = self._call(when)
        else:
            raise self._unexpected("a packet, a system call, a command or code")
        outbound = isinstance(action, Packet) and not action.inbound
        if (when.any or when.until_ns is not None) and not outbound:
            what = "* as a time" if when.any else "a range of time"
            raise ScriptError(line, f"{what} goes only with a packet that is expected")
        return Event(line, when, action)

    def _when(self) -> When:
        line = self._peek().line
        if self._take("*"):
            return When(any=True)
        relative = self._take("+")
        start = self._time()
        until = None
        if self._take("~"):
            if self._take("+") != relative:
                raise ScriptError(line, "a range of time has + at both ends, or at none")
            until = self._time()
            if until < start:
                raise ScriptError(line, "the range of time ends before it begins")
        return When(start, until, relative)

    def _time(self) -> int:
        """Seconds, as nanoseconds."""
        token = self._peek()
        if token.kind not in ("integer", "float"):
            raise self._unexpected("a time in seconds")
        if token.text.startswith("-"):
            raise ScriptError(token.line, f"a time cannot be negative: {token.text[:20]}")
        self._at += 1
        whole, _, fraction = token.text.partition(".")
        if len(whole) > 6 or len(fraction) > 9:
            raise ScriptError(
                token.line, f"{token.text[:20]}: a time has at most 6 digits, and 9 decimals"
            )
        return int(whole or "0") * _SECOND + int(fraction.ljust(9, "0"))

    # Packets.

    def _packet(self) -> Packet | IcmpError | OtherPacket:
        start = self._peek()
        inbound = self._next().text == "<"
        ip = self._ip_info()
        if self._peek().text in _OTHER and self._peek().kind == "word":
            return self._other(start)
        if self._take("icmp"):
            return self._icmp(start, inbound)
        ports = None
        if self._peek().kind == "integer":
            sport = self._integer("a port", 16)
            self._want(">")
            ports = sport, self._integer("a port", 16)
        flags = self._flags()
        seq, length = self._sequence()
        ack = self._integer("an acknowledgement", 32) if self._take("ack") else None
        window = self._integer("a window", 16) if self._take("win") else None
        urgent = self._integer("an urgent pointer", 16) if self._take("urg") else 0
        options = self._options() if self._is("<") and self._is_options() else ()
        if inbound and window is None:
            raise ScriptError(start.line, "a packet that is put in needs its window (win N)")
        if inbound and options is None:
            raise ScriptError(start.line, "<...> goes only with a packet that is expected")
        text = self._since(start.start)
        return Packet(inbound, flags, seq, length, ack, window, urgent, options, ports, ip, text)

    def _other(self, start: Token) -> OtherPacket:
        """Read on to the next line: how it goes on is no matter."""
        what = self._peek().text
        while self._peek().kind != "end" and self._peek().line == start.line:
            self._at += 1
        return OtherPacket({"udp": "UDP packets"}.get(what, f"{what} around or in a packet"))

    def _is_options(self) -> bool:
        """Whether ``<`` begins options, and not the next packet, whose time would come first."""
        following = self._tokens[self._at + 1 : self._at + 2]
        return bool(following) and following[0].kind in ("word", "ellipsis")

    def _ip_info(self) -> str:
        if not (self._is("(") or self._is("[")):
            return ""
        start = self._peek()
        close = ")" if self._next().text == "(" else "]"
        while not self._take(close):
            if self._next().kind == "end":
                raise self._unexpected(f"'{close}'")
        return self._since(start.start)

    def _flags(self) -> str:
        token = self._next()
        if token.kind == "symbol" and token.text in ".-":
            return token.text.replace("-", "")
        if token.kind not in ("word", "float", "integer"):
            self._at -= 1
            raise self._unexpected("a packet's flags")
        flags = token.text + ("." if self._take(".") else "")
        wrong = next((letter for letter in flags if letter not in FLAG_LETTERS), "")
        if wrong:
            raise ScriptError(token.line, f"{wrong!r} is no flag of TCP; there are F S R P . U E W")
        return flags

    def _sequence(self) -> tuple[int, int]:
        line = self._peek().line
        seq = self._integer("a sequence number", 32)
        self._want(":")
        end = self._integer("a sequence number", 32)
        self._want("(")
        length = self._integer("a payload's length", 16)
        self._want(")")
        if (seq + length) & 0xFFFFFFFF != end:
            raise ScriptError(
                line, f"{seq}:{end}({length}): {seq} and {length} make {seq + length}"
            )
        return seq, length

    def _options(self) -> tuple[TcpOption, ...] | None:
        self._want("<")
        if self._peek().kind == "ellipsis":
            self._at += 1
            self._want(">")
            return None
        found = [self._tcp_option()]
        while self._take(","):
            found.append(self._tcp_option())
        self._want(">")
        return tuple(found)

    def _tcp_option(self) -> TcpOption:
        token = self._next()
        name = token.text
        if name == "mss":
            return TcpOption(name, (self._integer("an MSS", 16),))
        if name == "wscale":
            return TcpOption(name, (self._integer("a window scale", 8),))
        if name == "TS":
            self._want("val")
            value = self._integer("a timestamp", 32)
            self._want("ecr")
            return TcpOption(name, (value, self._integer("a timestamp", 32)))
        if name in ("nop", "eol", "sackOK"):
            return TcpOption(name)
        if name in ("sack", "FO", "FOEXP", "md5", "ECN"):
            while not (self._is(",") or self._is(">") or self._peek().kind == "end"):
                self._at += 1
            return TcpOption(name)
        raise ScriptError(
            token.line,
            f"{name[:20]!r} is no option of TCP; there are mss, wscale, sackOK, sack, TS, nop, eol",
        )

    def _icmp(self, start: Token, inbound: bool) -> IcmpError | OtherPacket:
        kind = self._word("a type of ICMP")
        code = ""
        if self._peek().kind == "word" and not self._is("mtu") and not self._is("id"):
            code = self._next().text
        mtu = self._integer("an MTU", 16) if self._take("mtu") else None
        if self._take("id"):
            self._integer("an identifier", 16)
        seq = length = 0
        if self._take("["):
            if self._peek().text in _OTHER:
                return self._other(start)
            seq, length = self._sequence()
            self._want("]")
        if not inbound:
            return OtherPacket("ICMP from the guest")
        return IcmpError(kind, code, mtu, seq, length, self._since(start.start))

    def _word(self, what: str) -> str:
        if self._peek().kind != "word":
            raise self._unexpected(what)
        return self._next().text

    # System calls.

    def _call(self, when: When) -> SystemCall:
        start = self._peek()
        end = None
        if start.kind == "ellipsis":
            self._at += 1
            end = self._time()
            if end < when.start_ns:
                raise ScriptError(start.line, "the call would end before it begins")
            start = self._peek()
        name = self._word("a system call")
        self._want("(")
        arguments = self._list(")")
        self._want("=")
        result = self._expression()
        error = ""
        if self._peek().kind == "word":
            error = self._next().text
        if self._take("("):
            while not self._take(")"):
                if self._next().kind == "end":
                    raise self._unexpected("')'")
        text = self._since(start.start)
        return SystemCall(name, tuple(arguments), result, error, end, text)

    def _list(self, close: str) -> list[Expression]:
        """Expressions up to ``close``."""
        found: list[Expression] = []
        if self._take(close):
            return found
        while True:
            found.append(self._expression())
            if self._take(close):
                return found
            self._want(",")

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ScriptError(self._peek().line, f"more than {DEEPEST} brackets in each other")
        value = self._simple()
        names = [self._name(value)] if self._is("|") else []
        while self._take("|"):
            names.append(self._name(self._simple()))
        self._depth -= 1
        return Names(tuple(names)) if names else value

    def _name(self, value: Expression) -> str:
        if isinstance(value, Names) and len(value.names) == 1:
            return value.names[0]
        if isinstance(value, int):
            return str(value)
        raise ScriptError(self._peek().line, "| joins names and numbers")

    def _simple(self) -> Expression:
        token = self._next()
        if token.kind == "ellipsis":
            return ANYTHING
        if token.kind in ("integer", "hex"):
            return self._number(token)
        if token.kind == "string":
            return self._string(token)
        if token.kind == "word":
            if self._take("("):
                return Function(token.text, tuple(self._list(")")))
            return Names((token.text,))
        if token.text == "[":
            return self._list("]")
        if token.text == "{":
            return self._struct()
        self._at -= 1
        raise self._unexpected("a value")

    def _string(self, token: Token) -> str:
        text = token.text
        while self._peek().kind == "string":
            text += self._next().text
        if self._peek().kind == "ellipsis":
            self._at += 1
        return text

    def _struct(self) -> Struct:
        members: dict[str, Expression] = {}
        nameless: list[Expression] = []
        while True:
            value = self._expression()
            if self._take("="):
                if isinstance(value, Function):
                    name = value.name
                else:
                    name = self._name(value)
                members[name] = self._expression()
            else:
                nameless.append(value)
            if self._take("}"):
                return Struct(members, tuple(nameless))
            self._want(",")
