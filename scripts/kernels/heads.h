// Attention of rows that look at the same cells, for heads that share keys and values. kernels.cmake puts it into
// `ops.cpp`.
//
// llama.cpp computes it cell by cell where few rows are written, with an exponential and two conversions of what it
// has summed for each: 60 to 100 ns for a head and a cell, so that a conversation's history soon costs more than the
// weights. Here 64 cells are computed together, for up to 64 rows by heads, and summed in single precision. What a row
// comes to is the same whatever other conversations are read, wherever in the cache its own lies, and however many
// threads there are: 64 cells are those of 64 positions that follow each other, from a multiple of 64 on.

#pragma once

#include "lanes.h"
#include "positions.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ragstack {

constexpr int CELLS = 64;      // computed together
constexpr int MOST_ROWS = 64;  // rows by heads, at once

// 64 cells, in the order in which they are computed.
struct Stretch {
    int32_t cells[CELLS];  // ~cell where there is none: another one's numbers are read, and count nothing
    int count;             // up to the last that there is
    bool in_a_row;         // each lies behind the one before, and all are there

    int64_t at(int slot) const { return cells[slot] < 0 ? ~cells[slot] : cells[slot]; }
};

// What a step asks of one attention.
struct Attention {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    ggml_tensor * result;
    float scale;
    float bias;  // of ALiBi; 0 is none
    float cap;   // of the scores; 0 is none
    int64_t shared;  // heads with the same keys

    explicit Attention(ggml_tensor * result)
        : q(result->src[0]), k(result->src[1]), v(result->src[2]), mask(result->src[3]), sinks(result->src[4]),
          result(result), shared(q->ne[2] / k->ne[2]) {
        memcpy(&scale, (const float *) result->op_params + 0, sizeof(float));
        memcpy(&bias, (const float *) result->op_params + 1, sizeof(float));
        memcpy(&cap, (const float *) result->op_params + 2, sizeof(float));
        if (cap != 0.0f) {
            scale /= cap;
        }
    }

    // Whether it can be computed here.
    bool fits() const {
        return q->type == GGML_TYPE_F32 && (k->type == GGML_TYPE_F16 || k->type == GGML_TYPE_F32) &&
               v->type == k->type && k->ne[0] % 16 == 0 && v->ne[0] % 16 == 0 && k->ne[2] == v->ne[2] &&
               k->ne[3] == v->ne[3] && shared <= MOST_ROWS && (!mask || mask->ne[2] == 1);
    }

    // The position of what lies in each cell, or null: kernels.cmake has llama.cpp put them behind the mask's rows.
    const int32_t * positions() const {
        const ggml_tensor * whole = mask ? mask->view_src : nullptr;
        if (!whole || strcmp(whole->name, RAGSTACK_POSITIONS) != 0) {
            return nullptr;
        }
        return (const int32_t *) ((const char *) whole->data + mask->ne[1] * mask->nb[1]);
    }

    const ggml_fp16_t * looks(int64_t row, int64_t batch) const {
        return (const ggml_fp16_t *) ((const char *) mask->data + row * mask->nb[1] + batch % mask->ne[3] * mask->nb[3]);
    }

    // How much a head minds that a cell is far (Press et al., arXiv:2108.12409).
    float slope(int64_t head) const {
        if (bias <= 0.0f) {
            return 1.0f;
        }
        const int64_t power = int64_t(1) << int(floor(log2(double(q->ne[2]))));
        return head < power ? powf(powf(2.0f, -bias / power), head + 1)
                            : powf(powf(2.0f, -bias / 2.0f / power), 2 * (head - power) + 1);
    }
};

// Rows, one behind the other, and heads with the same keys.
struct Part {
    int64_t row, rows;
    int64_t head, heads;
    int64_t batch;
};

// Numbers that begin where a line of the processor's cache does.
class Floats {
  public:
    void resize(size_t count) {
        if (room_.size() < count + LINE) {
            room_.resize(count + LINE);
        }
        at_ = room_.data() + (LINE - reinterpret_cast<uintptr_t>(room_.data()) / sizeof(float) % LINE) % LINE;
    }
    float * operator+(int64_t place) { return at_ + place; }
    float & operator[](int64_t place) { return at_[place]; }

  private:
    static constexpr size_t LINE = 16;
    std::vector<float> room_;
    float * at_ = nullptr;
};

// Computes parts. One thread's own.
class Heads {
  public:
    // `stretches`: all that one of its rows looks at.
    void compute(const Attention & of, const Part & part, const std::vector<Stretch> & stretches) {
        begin(of, part);
        for (const Stretch & stretch : stretches) {
            if (of.mask) {
                look(of, part, stretch);
            }
            if (of.k->type == GGML_TYPE_F16) {
                take<ggml_fp16_t>(of, part, stretch);
            } else {
                take<float>(of, part, stretch);
            }
            in_registers([&](auto n, int first) { score<decltype(n)::value>(first); });
            for (int at = 0; at < count_; ++at) {
                weigh(of, at, stretch.count);
            }
            in_registers([&](auto n, int first) { add<decltype(n)::value>(first, stretch.count); });
        }
        end(of, part);
    }

  private:
    static constexpr float NONE = -INFINITY;

    void begin(const Attention & of, const Part & part) {
        wide_ = of.k->ne[0];
        deep_ = of.v->ne[0];
        count_ = int(part.rows * part.heads);
        queries_.resize(MOST_ROWS * wide_);
        keys_.resize(wide_ * CELLS);
        values_.resize(CELLS * deep_);
        sums_.resize(MOST_ROWS * deep_);
        std::fill(sums_ + 0, sums_ + count_ * deep_, 0.0f);
        for (int at = 0; at < count_; ++at) {
            const int64_t row = part.row + at / part.heads, head = part.head + at % part.heads;
            const float * query = (const float *) ((const char *) of.q->data + row * of.q->nb[1] + head * of.q->nb[2] +
                                                   part.batch * of.q->nb[3]);
            for (int64_t d = 0; d < wide_; ++d) {
                queries_[at * wide_ + d] = query[d] * of.scale;
            }
            most_[at] = NONE;
            weight_[at] = 0.0f;
            row_[at] = int(at / part.heads);
            slope_[at] = of.slope(head);
        }
    }

    // What the mask adds for each row.
    void look(const Attention & of, const Part & part, const Stretch & stretch) {
        for (int64_t row = 0; row < part.rows; ++row) {
            const ggml_fp16_t * mask = of.looks(part.row + row, part.batch);
            float * own = masks_[row];
            if (stretch.in_a_row) {
                for (int cell = 0; cell < CELLS; cell += LANES) {
                    store(own + cell, load(mask + stretch.cells[0] + cell));
                }
                continue;
            }
            for (int cell = 0; cell < CELLS; ++cell) {
                own[cell] = stretch.cells[cell] < 0 ? NONE : GGML_CPU_FP16_TO_FP32(mask[stretch.cells[cell]]);
            }
        }
    }

    // Keys, column by column, and values, row by row.
    template <typename T>
    void take(const Attention & of, const Part & part, const Stretch & stretch) {
        const int64_t from = part.head / of.shared, batch = part.batch / (of.q->ne[3] / of.k->ne[3]);
        const char * keys = (const char *) of.k->data + from * of.k->nb[2] + batch * of.k->nb[3];
        const char * values = (const char *) of.v->data + from * of.v->nb[2] + batch * of.v->nb[3];
        for (int cell = 0; cell < CELLS; cell += LANES) {
            const T * rows[LANES];
            for (int i = 0; i < LANES; ++i) {
                rows[i] = (const T *) (keys + stretch.at(cell + i) * of.k->nb[1]);
            }
            for (int64_t d = 0; d < wide_; d += LANES) {
                Lanes square[LANES];
                for (int i = 0; i < LANES; ++i) {
                    square[i] = load(rows[i] + d);
                }
                transpose(square);
                for (int i = 0; i < LANES; ++i) {
                    store(keys_ + ((d + i) * CELLS + cell), square[i]);
                }
            }
        }
        for (int cell = 0; cell < stretch.count; ++cell) {
            const T * value = (const T *) (values + stretch.at(cell) * of.v->nb[1]);
            for (int64_t d = 0; d < deep_; d += LANES) {
                store(values_ + (cell * deep_ + d), load(value + d));
            }
        }
    }

    template <int N>
    void score(int first) {
        for (int panel = 0; panel < CELLS; panel += PANEL * LANES) {
            Lanes sums[N][PANEL];
            for (int n = 0; n < N; ++n) {
                for (int p = 0; p < PANEL; ++p) {
                    sums[n][p] = all(0.0f);
                }
            }
            for (int64_t d = 0; d < wide_; ++d) {
                Lanes key[PANEL];
                for (int p = 0; p < PANEL; ++p) {
                    key[p] = load(keys_ + (d * CELLS + panel + p * LANES));
                }
                for (int n = 0; n < N; ++n) {
                    const Lanes query = all(queries_[(first + n) * wide_ + d]);
                    for (int p = 0; p < PANEL; ++p) {
                        sums[n][p] = times_plus(query, key[p], sums[n][p]);
                    }
                }
            }
            for (int n = 0; n < N; ++n) {
                for (int p = 0; p < PANEL; ++p) {
                    store(scores_[first + n] + panel + p * LANES, sums[n][p]);
                }
            }
        }
    }

    // Scores become weights against the largest so far (Milakov and Gimelshein, arXiv:1805.02867).
    void weigh(const Attention & of, int at, int count) {
        float * scores = scores_[at];
        if (of.cap != 0.0f) {
            for (int cell = 0; cell < CELLS; cell += LANES) {
                store(scores + cell, times(tangent(load(scores + cell)), all(of.cap)));
            }
        }
        if (of.mask) {
            for (int cell = 0; cell < CELLS; cell += LANES) {
                const Lanes mask = load(masks_[row_[at]] + cell);
                store(scores + cell, times_plus(mask, all(slope_[at]), load(scores + cell)));
            }
        } else {
            std::fill(scores + count, scores + CELLS, NONE);
        }
        const float most = std::max(most_[at], largest(scores));
        if (most == NONE) {
            std::fill(scores, scores + CELLS, 0.0f);
            return;
        }
        if (most > most_[at]) {
            const float less = expf(most_[at] - most);
            most_[at] = most;
            weight_[at] *= less;
            for (int64_t d = 0; d < deep_; d += LANES) {
                float * sum = sums_ + (at * deep_ + d);
                store(sum, times(load(sum), all(less)));
            }
        }
        Lanes whole = all(0.0f);
        for (int cell = 0; cell < CELLS; cell += LANES) {
            const Lanes weight = exponential(plus(load(scores + cell), all(-most)));
            store(scores + cell, weight);
            whole = plus(whole, weight);
        }
        weight_[at] += total(whole);
    }

    template <int N>
    void add(int first, int count) {
        int64_t column = 0;
        for (; column + PANEL * LANES <= deep_; column += PANEL * LANES) {
            add<N, PANEL>(first, count, column);
        }
        for (; column < deep_; column += LANES) {
            add<N, 1>(first, count, column);
        }
    }

    template <int N, int WIDTH>
    void add(int first, int count, int64_t column) {
        Lanes sums[N][WIDTH];
        for (int n = 0; n < N; ++n) {
            for (int p = 0; p < WIDTH; ++p) {
                sums[n][p] = load(sums_ + ((first + n) * deep_ + column + p * LANES));
            }
        }
        for (int cell = 0; cell < count; ++cell) {
            Lanes value[WIDTH];
            for (int p = 0; p < WIDTH; ++p) {
                value[p] = load(values_ + (cell * deep_ + column + p * LANES));
            }
            for (int n = 0; n < N; ++n) {
                const Lanes weight = all(scores_[first + n][cell]);
                for (int p = 0; p < WIDTH; ++p) {
                    sums[n][p] = times_plus(weight, value[p], sums[n][p]);
                }
            }
        }
        for (int n = 0; n < N; ++n) {
            for (int p = 0; p < WIDTH; ++p) {
                store(sums_ + ((first + n) * deep_ + column + p * LANES), sums[n][p]);
            }
        }
    }

    void end(const Attention & of, const Part & part) {
        for (int at = 0; at < count_; ++at) {
            const int64_t row = part.row + row_[at], head = part.head + at % part.heads;
            float whole = weight_[at], less = 1.0f;
            if (of.sinks) {
                const float sink = ((const float *) of.sinks->data)[head];
                const float most = std::max(most_[at], sink);
                less = expf(most_[at] - most);
                whole = whole * less + expf(sink - most);
            }
            const float share = whole == 0.0f ? 0.0f : less / whole;
            const int64_t place = (part.batch * of.result->ne[2] + row) * of.result->ne[1] + head;
            float * out = (float *) ((char *) of.result->data + place * of.result->nb[1]);
            for (int64_t d = 0; d < deep_; ++d) {
                out[d] = sums_[at * deep_ + d] * share;
            }
        }
    }

    // Calls with as many rows as stay in registers; seven are four and three.
    template <typename Call>
    void in_registers(Call call) {
        int first = 0;
        const auto some = [&](auto n) {
            call(n, first);
            first += decltype(n)::value;
        };
        while (count_ - first >= 6 && count_ - first != 7) {
            some(std::integral_constant<int, 6>());
        }
        while (count_ - first >= 4) {
            some(std::integral_constant<int, 4>());
        }
        switch (count_ - first) {
            case 3: some(std::integral_constant<int, 3>()); break;
            case 2: some(std::integral_constant<int, 2>()); break;
            case 1: some(std::integral_constant<int, 1>()); break;
        }
    }

    int64_t wide_ = 0;  // numbers of a key
    int64_t deep_ = 0;  // and of a value
    int count_ = 0;     // rows by heads
    Floats queries_, keys_, values_, sums_;
    alignas(64) float scores_[MOST_ROWS][CELLS];
    alignas(64) float masks_[MOST_ROWS][CELLS];
    float most_[MOST_ROWS], weight_[MOST_ROWS], slope_[MOST_ROWS];
    int row_[MOST_ROWS];
};

}  // namespace ragstack
