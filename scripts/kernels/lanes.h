// As many numbers of single precision as the processor computes with at once. kernels.cmake puts it into `ops.cpp`.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(RAGSTACK_PLAIN)
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define RAGSTACK_AVX512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define RAGSTACK_AVX2
#endif

namespace ragstack {

#if defined(RAGSTACK_AVX512)

using Lanes = __m512;
constexpr int LANES = 16;
constexpr int PANEL = 4;  // so many of them, for six rows, stay in registers

inline Lanes all(float x) { return _mm512_set1_ps(x); }
inline Lanes load(const float * at) { return _mm512_loadu_ps(at); }
inline Lanes load(const ggml_fp16_t * at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) at)); }
inline void store(float * at, Lanes x) { _mm512_storeu_ps(at, x); }
inline Lanes plus(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes times(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes over(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
inline Lanes times_plus(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline Lanes larger(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
inline Lanes exponential(Lanes x) { return ggml_v_expf(x); }

// Rows become columns.
inline void transpose(Lanes (&x)[LANES]) {
    Lanes y[LANES];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int j = 0; j < 2; ++j) {
            const __m512d a = _mm512_castps_pd(y[i + j]), b = _mm512_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i) {
        x[i] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0xdd);
    }
}

#elif defined(RAGSTACK_AVX2)

using Lanes = __m256;
constexpr int LANES = 8;
constexpr int PANEL = 2;

inline Lanes all(float x) { return _mm256_set1_ps(x); }
inline Lanes load(const float * at) { return _mm256_loadu_ps(at); }
inline Lanes load(const ggml_fp16_t * at) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) at)); }
inline void store(float * at, Lanes x) { _mm256_storeu_ps(at, x); }
inline Lanes plus(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
inline Lanes times(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
inline Lanes over(Lanes a, Lanes b) { return _mm256_div_ps(a, b); }
inline Lanes times_plus(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
inline Lanes larger(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
inline Lanes exponential(Lanes x) { return ggml_v_expf(x); }

inline void transpose(Lanes (&x)[LANES]) {
    Lanes y[LANES];
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; ++j) {
            const __m256d a = _mm256_castps_pd(y[i + j]), b = _mm256_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            x[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) {
        x[i] = y[i];
    }
}

#else

constexpr int LANES = 4;
constexpr int PANEL = 2;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));

inline Lanes all(float x) { return Lanes{x, x, x, x}; }
inline Lanes load(const float * at) {
    Lanes x;
    memcpy(&x, at, sizeof(x));
    return x;
}
inline Lanes load(const ggml_fp16_t * at) {
    Lanes x;
    for (int i = 0; i < LANES; ++i) {
        x[i] = GGML_CPU_FP16_TO_FP32(at[i]);
    }
    return x;
}
inline void store(float * at, Lanes x) { memcpy(at, &x, sizeof(x)); }
inline Lanes plus(Lanes a, Lanes b) { return a + b; }
inline Lanes times(Lanes a, Lanes b) { return a * b; }
inline Lanes over(Lanes a, Lanes b) { return a / b; }
inline Lanes times_plus(Lanes a, Lanes b, Lanes c) { return a * b + c; }
inline Lanes larger(Lanes a, Lanes b) {
    Lanes x;
    for (int i = 0; i < LANES; ++i) {
        x[i] = a[i] > b[i] ? a[i] : b[i];
    }
    return x;
}
inline Lanes exponential(Lanes a) {
    Lanes x;
    for (int i = 0; i < LANES; ++i) {
        x[i] = expf(a[i]);
    }
    return x;
}
inline void transpose(Lanes (&x)[LANES]) {
    for (int i = 0; i < LANES; ++i) {
        for (int j = 0; j < i; ++j) {
            const float kept = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = kept;
        }
    }
}

#endif

// The hyperbolic tangent.
inline Lanes tangent(Lanes x) {
    const Lanes one = all(1.0f);
    return plus(one, over(all(-2.0f), plus(exponential(plus(x, x)), one)));
}

// The largest, or the sum, of 64 numbers, in one order.
inline float largest(const float * of) {
    Lanes top = load(of);
    for (int at = LANES; at < 64; at += LANES) {
        top = larger(top, load(of + at));
    }
    float each[LANES];
    store(each, top);
    float found = each[0];
    for (int i = 1; i < LANES; ++i) {
        found = each[i] > found ? each[i] : found;
    }
    return found;
}

inline float total(Lanes x) {
    float each[LANES];
    store(each, x);
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) {
            each[i] += each[i + half];
        }
    }
    return each[0];
}

}  // namespace ragstack
