"""The exception for mistakes of the user."""


class UserError(ValueError):
    """A mistake of the user; the message is one line that says what to do.

    Commands print the message alone and exit with code 2.
    """
