// Where the positions of what lies in llama.cpp's cache are found: behind the rows of a mask, where its whole is called
// so. `llama-graph.cpp` makes it, `llama-kv-cache.cpp` fills it, `ops.cpp` reads it; kernels.cmake puts this beside each.

#pragma once

#define RAGSTACK_POSITIONS "attn_inp_kq_mask_and_positions"  // one 32-bit number for each cell; -1 where nothing lies
