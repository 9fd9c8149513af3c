"""Networks of our own where no library has them as they were published: encoders, decoders, and how they are joined.

In: options blocks, band and plane counts. Out: nn.Modules. Imported by models/build.py alone.
"""
