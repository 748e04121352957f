"""The one exception for mistakes that a user can make and mend."""


class UserError(ValueError):
    """A wrong option, a missing material or a foreign file: one line that says what to do.

    The command prints the message alone and exits with code 2.
    """
