"""Parts of the lexical analysis, each a step from text to terms; ``index.analysis`` joins them."""
