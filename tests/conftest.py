"""What all tests start from."""

import signal

# Started in the background of a script, everything ignores SIGINT, and so would each process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
