// Products of quantised weights and tokens, for few tokens and many. kernels.cmake puts it into `ops.cpp`.
//
// Weights stay as they lie in the file. A span of some rows is unpacked so that each lane has a row of its own, then
// multiplied with all tokens: a sum needs no adding up of lanes, and what unpacking costs is shared. Tokens are rounded
// to a byte a number, with a scale for as many numbers as the weights' format has one for. A token comes to the same
// bits whatever others share its step.

#pragma once

#include "formats.h"

#include <algorithm>
#include <vector>

#ifdef RAGSTACK_WORDS

namespace ragstack {

constexpr int ROWS = ACROSS * LANES;
constexpr int64_t MOST_TOKENS = 256;  // that use what was unpacked once: their sums stay in the cache
constexpr int64_t TURNS = 8;  // that a thread takes part in at least, where there is so much to do
constexpr size_t LINE = 64;

// One token as numbers of a byte, and what it takes to undo it.
struct Token {
    const int8_t * numbers;
    const float * scales;
    const int32_t * sums;  // of each block's numbers: times -LEAST, or times the scale as a float, where a format has shifts
};

// Where tokens lie once they are rounded.
template <typename Format>
struct Rounded {
    static constexpr int BLOCK = Format::BLOCK;
    char * at;
    int64_t numbers;

    static size_t bytes(int64_t numbers) {
        const size_t each = numbers + numbers / BLOCK * (sizeof(float) + sizeof(int32_t));
        return (each + LINE - 1) / LINE * LINE;
    }

    int8_t * row(int64_t token) const { return reinterpret_cast<int8_t *>(at + token * bytes(numbers)); }
    float * scales(int64_t token) const { return reinterpret_cast<float *>(row(token) + numbers); }
    int32_t * sums(int64_t token) const { return reinterpret_cast<int32_t *>(scales(token) + numbers / BLOCK); }

    void round(int64_t token, int64_t block, const float * from) const {
        Lanes most = all(0.0f);
        for (int i = 0; i < BLOCK; i += LANES) {
            most = larger(most, distance(load(from + i)));
        }
        const float farthest = largest_lane(most);
        const Lanes by = all(farthest > 0 ? 127.0f / farthest : 0.0f);
        const float scale = farthest / 127.0f;
        Ints sum = {};
        for (int i = 0; i < BLOCK; i += LANES) {
            const Ints number = nearest(times(load(from + i), by));
            store(row(token) + block * BLOCK + i, number);
            sum += number;
        }
        scales(token)[block] = scale;
        if (Format::SHIFTS) {
            const float shifted = scale * float(total(sum));
            memcpy(sums(token) + block, &shifted, sizeof(shifted));
        } else {
            sums(token)[block] = -Format::LEAST * total(sum);
        }
    }

    Token from(int64_t token, int64_t number) const {
        return {row(token) + number, scales(token) + number / BLOCK, sums(token) + number / BLOCK};
    }
};

// Unpacks a span of LANES rows. In a function of its own, as what follows: where a thread's own lies is looked up once.
template <typename Format>
__attribute__((noinline)) void unpack(const uint8_t * rows, size_t stride, int span, int across, Tile & tile) {
    for (int at = 0; at < span; at += Format::PIECE, rows += Format::BYTES) {
        Format::unpack(rows, stride, {tile, across, at / IN_WORD, at / Format::BLOCK});
    }
}

// Adds the products of unpacked rows and some tokens to their sums, ROWS for each token.
template <typename Format, int TOKENS>
__attribute__((noinline)) void multiply(const Tile & tile, int blocks, const Token * tokens, float * sums) {
    constexpr int IN_BLOCK = Format::BLOCK / IN_WORD, STEP = WORDS<Format::MOST>;
    Lanes sum[TOKENS][ACROSS];
    for (int t = 0; t < TOKENS; ++t) {
        for (int a = 0; a < ACROSS; ++a) {
            sum[t][a] = load(sums + t * ROWS + a * LANES);
        }
    }
    for (int block = 0; block < blocks; ++block) {
        Ints found[TOKENS][ACROSS];
        for (int t = 0; t < TOKENS; ++t) {
            for (int a = 0; a < ACROSS; ++a) {
                found[t][a] = Format::SHIFTS ? Ints{} : Ints{} + tokens[t].sums[block];
            }
        }
        const Words(*codes)[ACROSS] = tile.codes + block * IN_BLOCK;
        for (int word = 0; word < IN_BLOCK; word += STEP) {
            for (int t = 0; t < TOKENS; ++t) {
                const int8_t * numbers = tokens[t].numbers + block * Format::BLOCK + word * IN_WORD;
                for (int a = 0; a < ACROSS; ++a) {
                    found[t][a] = plus_products<Format::MOST>(found[t][a], codes + word, a, numbers);
                }
            }
        }
        for (int t = 0; t < TOKENS; ++t) {
            for (int a = 0; a < ACROSS; ++a) {
                const Lanes scale = times(tile.scales[block][a], all(tokens[t].scales[block]));
                sum[t][a] = times_plus(as_lanes(found[t][a]), scale, sum[t][a]);
                if (Format::SHIFTS) {
                    float shifted;
                    memcpy(&shifted, tokens[t].sums + block, sizeof(shifted));
                    sum[t][a] = times_plus(tile.shifts[block][a], all(shifted), sum[t][a]);
                }
            }
        }
    }
    for (int t = 0; t < TOKENS; ++t) {
        for (int a = 0; a < ACROSS; ++a) {
            store(sums + t * ROWS + a * LANES, sum[t][a]);
        }
    }
}

template <typename Format, int TOKENS = DEEP>
inline void multiply(int count, const Tile & tile, int blocks, const Token * tokens, float * sums) {
    if (count == TOKENS) {
        multiply<Format, TOKENS>(tile, blocks, tokens, sums);
    } else if constexpr (TOKENS > 1) {
        multiply<Format, TOKENS - 1>(count, tile, blocks, tokens, sums);
    }
}

// What a thread works in.
struct Unpacked {
    Tile tile;
    std::vector<float> sums;
};

inline Unpacked & unpacked() {
    static thread_local Unpacked own;
    return own;
}

// One product, of weights in one format.
template <typename Format>
class Product {
  public:
    static size_t room(int64_t numbers, int64_t tokens) { return LINE + Rounded<Format>::bytes(numbers) * tokens; }

    Product(const ggml_compute_params * params, ggml_tensor * result) :
        params_(params),
        weights_(result->src[0]),
        tokens_(result->src[1]),
        result_(result),
        count_(ggml_nrows(tokens_)),
        rounded_{static_cast<char *>(params->wdata), weights_->ne[0]} {
        rounded_.at += (LINE - reinterpret_cast<uintptr_t>(rounded_.at) % LINE) % LINE;
    }

    void compute() {
        const int64_t tiles = (weights_->ne[1] + ROWS - 1) / ROWS, threads = params_->nth;
        const int64_t wanted = std::max((count_ + MOST_TOKENS - 1) / MOST_TOKENS, (TURNS * threads + tiles - 1) / tiles);
        const int64_t each = std::max<int64_t>(DEEP * 4, (count_ + wanted - 1) / wanted);
        const int64_t parts = (count_ + each - 1) / each;
        const int64_t run = std::max<int64_t>(1, tiles / (TURNS * threads));  // of tiles that lie side by side
        const int64_t runs = (tiles + run - 1) / run;
        Unpacked & own = unpacked();
        round();
        if (params_->ith == 0) {
            ggml_threadpool_chunk_set(params_->threadpool, threads);
        }
        ggml_barrier(params_->threadpool);
        for (int64_t turn = params_->ith; turn < runs * parts; turn = ggml_threadpool_chunk_add(params_->threadpool, 1)) {
            const int64_t first = turn / runs * each;
            for (int64_t tile = turn % runs * run; tile < std::min(tiles, (turn % runs + 1) * run); ++tile) {
                compute(tile, first, std::min(each, count_ - first), own);
            }
        }
    }

  private:
    // Rounds this thread's share of the tokens.
    void round() const {
        const int64_t blocks = weights_->ne[0] / Format::BLOCK, in_all = blocks * count_;
        const int64_t end = in_all * (params_->ith + 1) / params_->nth;
        for (int64_t at = in_all * params_->ith / params_->nth; at < end; ++at) {
            const char * row = static_cast<const char *>(tokens_->data) + at / blocks * tokens_->nb[1];
            rounded_.round(at / blocks, at % blocks, reinterpret_cast<const float *>(row) + at % blocks * Format::BLOCK);
        }
    }

    // The products of ROWS rows and some tokens. The last rows of all are taken together with some before them.
    void compute(int64_t number, int64_t first, int64_t count, Unpacked & own) {
        const int64_t row = std::min(number * ROWS, weights_->ne[1] - ROWS), known = number * ROWS - row;
        const size_t stride = weights_->nb[1];
        own.sums.assign(count * ROWS, 0.0f);
        const int64_t groups = (count + DEEP - 1) / DEEP;
        for (int64_t from = 0; from < weights_->ne[0]; from += SPAN) {
            const int span = int(std::min<int64_t>(SPAN, weights_->ne[0] - from));
            for (int across = 0; across < ACROSS; ++across) {
                const char * rows = static_cast<const char *>(weights_->data) + (row + across * LANES) * weights_->nb[1];
                const uint8_t * piece = reinterpret_cast<const uint8_t *>(rows) + from / Format::PIECE * Format::BYTES;
                unpack<Format>(piece, stride, span, across, own.tile);
            }
            for (int64_t group = 0; group < groups; ++group) {
                const int64_t begin = count * group / groups, end = count * (group + 1) / groups;
                Token together[DEEP];
                for (int64_t token = begin; token < end; ++token) {
                    together[token - begin] = rounded_.from(first + token, from);
                }
                const int blocks = span / Format::BLOCK;
                multiply<Format>(int(end - begin), own.tile, blocks, together, own.sums.data() + begin * ROWS);
            }
        }
        for (int64_t token = 0; token < count; ++token) {
            char * to = static_cast<char *>(result_->data) + (first + token) * result_->nb[1] + (row + known) * sizeof(float);
            memcpy(to, own.sums.data() + token * ROWS + known, (ROWS - known) * sizeof(float));
        }
    }

    const ggml_compute_params * params_;
    const ggml_tensor * weights_;
    const ggml_tensor * tokens_;
    ggml_tensor * result_;
    int64_t count_;
    Rounded<Format> rounded_;
};

template <typename T>
struct Of {
    using Format = T;
};

// Calls `what` with the format of some weights; false where it is another one.
template <typename What>
inline bool with_format(ggml_type type, What what) {
    const auto with = [&](auto format) {
        constexpr bool fits = decltype(format)::Format::MOST <= MOST_CODE;
        if constexpr (fits) {
            what(format);
        }
        return fits;
    };
    switch (type) {
        case GGML_TYPE_Q4_0: return with(Of<Q4_0>());
        case GGML_TYPE_Q4_1: return with(Of<Q4_1>());
        case GGML_TYPE_Q5_0: return with(Of<Q5_0>());
        case GGML_TYPE_Q5_1: return with(Of<Q5_1>());
        case GGML_TYPE_Q8_0: return with(Of<Q8_0>());
        case GGML_TYPE_Q4_K: return with(Of<Q4_K>());
        case GGML_TYPE_Q5_K: return with(Of<Q5_K>());
        case GGML_TYPE_Q6_K: return with(Of<Q6_K>());
        default: return false;
    }
}

// Whether weights are multiplied here, and stay as they lie in the file.
inline bool multiplies(ggml_type type, int64_t rows) {
    return rows >= ROWS && with_format(type, [](auto) {});
}

inline bool multiplies(const ggml_tensor * weights) {
    const bool flat = weights->ne[2] == 1 && weights->ne[3] == 1 && ggml_is_contiguous(weights);
    return flat && multiplies(weights->type, weights->ne[1]);
}

inline bool multiplies(const ggml_tensor * weights, const ggml_tensor * tokens) {
    return multiplies(weights) && tokens->type == GGML_TYPE_F32 && ggml_is_contiguous(tokens);
}

}  // namespace ragstack

extern "C" {

// By this name ragstack's engine knows its own kernels, and what they are compiled for.
__attribute__((visibility("default"))) const char * ragstack_compiled_for() {
    return ragstack::KIND;
}

__attribute__((visibility("default"))) bool ragstack_takes(int type, int64_t rows) {
    return ragstack::multiplies(static_cast<ggml_type>(type), rows);
}

bool ragstack_multiplies(const ggml_tensor * weights) {
    return ragstack::multiplies(weights);
}

size_t ragstack_product_room(const ggml_tensor * weights, const ggml_tensor * tokens) {
    size_t room = 0;
    if (ragstack::multiplies(weights, tokens)) {
        ragstack::with_format(weights->type, [&](auto format) {
            room = ragstack::Product<typename decltype(format)::Format>::room(tokens->ne[0], ggml_nrows(tokens));
        });
    }
    return room;
}

bool ragstack_product(const ggml_compute_params * params, ggml_tensor * result) {
    if (params->use_ref || !ragstack::multiplies(result->src[0], result->src[1]) || !ggml_is_contiguous(result)) {
        return false;
    }
    return ragstack::with_format(result->src[0]->type, [&](auto format) {
        ragstack::Product<typename decltype(format)::Format>(params, result).compute();
    });
}

}

#else

extern "C" {

__attribute__((visibility("default"))) const char * ragstack_compiled_for() {
    return "attention alone";
}

__attribute__((visibility("default"))) bool ragstack_takes(int, int64_t) {
    return false;
}

bool ragstack_multiplies(const ggml_tensor *) {
    return false;
}

size_t ragstack_product_room(const ggml_tensor *, const ggml_tensor *) {
    return 0;
}

bool ragstack_product(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

}

#endif
