"""Why a request is not answered: an HTTP status, a sentence for whoever asked, and the field that is at fault."""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with an error; the status is that of HTTP (RFC 9110).

    >>> error = Refused(400, "'x' is not a number.", field="rows[0].age")
    >>> error.status, error.value()
    (400, {'error': "rows[0].age: 'x' is not a number.", 'field': 'rows[0].age'})
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str = "",
        retry_after: int = 0,
        close: bool = False,
        allow: str = "",
    ) -> None:
        """`retry_after`: seconds after which it is worth another try; `close`: the connection is given up; `allow`: the
        methods that the path takes."""
        self.status, self.message, self.field = status, message, field
        self.retry_after, self.close, self.allow = retry_after, close, allow
        super().__init__(message)

    def value(self) -> dict[str, str]:
        """What the client is told, in the form of the Open Inference Protocol: a text under `error`."""
        if not self.field:
            return {"error": self.message}
        return {"error": f"{self.field}: {self.message}", "field": self.field}
