// Attention: which cells of llama.cpp's cache the rows of a step look at, and who computes what. kernels.cmake puts it
// into `ops.cpp`.
//
// One cache holds all conversations, so most of what lies in it is masked for any one row. llama.cpp's own attention
// looks at every cell's mask for every row and head, one by one, and computes 64 rows together at everything that one
// of them looks at: a row that writes beside rows that read makes all of them look at two conversations.

#pragma once

#include "heads.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ragstack {

constexpr uint16_t MASKED = 0xFC00;  // minus infinity in half precision
constexpr uint64_t FOUR_MASKED = 0xFC00FC00FC00FC00u;
constexpr int64_t BLOCK = 64;  // cells
constexpr int64_t WORD = 64;   // blocks, a bit each
constexpr int64_t APART = 4;   // cells that the next row of a conversation may look at more, or less,
constexpr int64_t NEARLY = 16;  // or a share of all: those of two that have nearly everything in common

// Whether any cell of a block is not masked.
inline bool seen_in(const uint16_t * block) {
    uint64_t seen = 0;
    for (int64_t cell = 0; cell < BLOCK; cell += 4) {
        uint64_t four;
        memcpy(&four, block + cell, sizeof(four));
        seen |= four ^ FOUR_MASKED;
    }
    return seen != 0;
}

// The first cell from `cell` on that is not masked, or `end`.
inline int64_t next_seen(const uint16_t * row, int64_t cell, int64_t end) {
    while (cell < end && row[cell] == MASKED) {
        cell += cell + BLOCK <= end && !seen_in(row + cell) ? BLOCK : 1;
    }
    return cell;
}

// The blocks that each row of a step looks at, found once for all heads of a layer. One thread's own.
class Looks {
  public:
    // Forgets the masks: the next layer's may lie in the same place.
    void forget() { mask_ = nullptr; }

    // Turns to a mask: `rows` rows of `cells` cells, each row `stride` bytes behind the one before.
    void turn_to(const void * mask, size_t stride, int64_t rows, int64_t cells) {
        if (mask == mask_) {
            return;
        }
        mask_ = static_cast<const char *>(mask);
        stride_ = stride;
        cells_ = cells;
        words_ = (cells + BLOCK * WORD - 1) / (BLOCK * WORD);
        known_.assign(rows, false);
        bits_.assign(rows * words_, 0);
    }

    // How many rows from `row` on, of `most`, look at nearly the same cells; `at` tells of these from now on.
    int together(int64_t row, int most) {
        const uint64_t * own = bits(row);
        all_.assign(own, own + words_);
        int count = 1;
        for (; count < most; ++count) {
            if (!alike(row + count - 1, row + count)) {
                break;
            }
            const uint64_t * next = bits(row + count);
            for (int64_t word = 0; word < words_; ++word) {
                all_[word] |= next[word];
            }
        }
        return count;
    }

    // Whether one of them looks at the block of a cell.
    bool at(int64_t cell) const {
        const int64_t block = cell / BLOCK;
        return all_[block / WORD] >> (block % WORD) & 1;
    }

  private:
    const uint64_t * bits(int64_t row) {
        uint64_t * found = bits_.data() + row * words_;
        if (!known_[row]) {
            known_[row] = true;
            const uint16_t * cells = reinterpret_cast<const uint16_t *>(mask_ + row * stride_);
            for (int64_t cell = 0; cell < cells_; cell += BLOCK) {
                const bool whole = cell + BLOCK <= cells_;
                const bool seen = whole ? seen_in(cells + cell) : next_seen(cells, cell, cells_) < cells_;
                const int64_t block = cell / BLOCK;
                found[block / WORD] |= uint64_t(seen) << (block % WORD);
            }
        }
        return found;
    }

    // Whether two rows look at nearly the same cells, as those of one conversation do. Rows of two that begin alike do not:
    // together they would be computed at what both have written.
    bool alike(int64_t one, int64_t other) {
        const uint64_t * here = bits(one);
        const uint64_t * there = bits(other);
        const uint16_t * first = reinterpret_cast<const uint16_t *>(mask_ + one * stride_);
        const uint16_t * second = reinterpret_cast<const uint16_t *>(mask_ + other * stride_);
        int64_t both = 0, either = 0;
        for (int64_t cell = 0; cell < cells_; cell += BLOCK) {
            const int64_t word = cell / BLOCK / WORD;
            if (!((here[word] | there[word]) >> (cell / BLOCK % WORD) & 1)) {
                continue;
            }
            const int64_t end = std::min(cell + BLOCK, cells_);
            uint16_t in_both = 0, in_either = 0;
            for (int64_t at = cell; at < end; ++at) {
                const uint16_t a = first[at] != MASKED, b = second[at] != MASKED;
                in_both += a & b;
                in_either += a | b;
            }
            both += in_both;
            either += in_either;
        }
        return either - both <= std::max(APART, either / NEARLY);
    }

    const char * mask_ = nullptr;
    size_t stride_ = 0;
    int64_t cells_ = 0;
    int64_t words_ = 0;
    std::vector<bool> known_;
    std::vector<uint64_t> bits_;  // of each row, by blocks
    std::vector<uint64_t> all_;   // of the rows that are together
};

// Rows that look at nearly the same.
struct Together {
    int64_t row, rows, batch;
};

// All attentions of one thread.
class Attending {
  public:
    // Computes an attention together with the other threads; false where llama.cpp's own has to.
    bool attend(const ggml_compute_params * params, ggml_tensor * result) {
        const Attention of(result);
        if (params->use_ref || !of.fits()) {
            return false;
        }
        looks_.forget();
        gather(of);
        const int64_t groups = together_.size() * of.k->ne[2];
        const int64_t parts = groups >= params->nth ? 1 : std::min(of.shared, (params->nth + groups - 1) / groups);
        const int64_t heads = (of.shared + parts - 1) / parts;
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
        int64_t known = -1;
        for (int64_t turn = params->ith; turn < groups * parts; turn = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            const int64_t number = turn / parts / of.k->ne[2], first = turn % parts * heads;
            const Together & rows = together_[number];
            if (first >= of.shared) {
                continue;
            }
            if (number != known) {
                find(of, rows);
                known = number;
            }
            const int64_t head = turn / parts % of.k->ne[2] * of.shared + first;
            heads_.compute(of, {rows.row, rows.rows, head, std::min(heads, of.shared - first), rows.batch}, cells_);
        }
        return true;
    }

  private:
    void gather(const Attention & of) {
        const int64_t most = std::max<int64_t>(1, MOST_ROWS / of.shared);
        together_.clear();
        for (int64_t batch = 0; batch < of.q->ne[3]; ++batch) {
            for (int64_t row = 0; row < of.q->ne[1]; row += together_.back().rows) {
                const int64_t rows = std::min(most, of.q->ne[1] - row);
                if (of.mask) {
                    turn_to(of, batch);
                }
                together_.push_back({row, of.mask ? looks_.together(row, int(rows)) : rows, batch});
            }
        }
    }

    void turn_to(const Attention & of, int64_t batch) {
        looks_.turn_to(of.looks(0, batch), of.mask->nb[1], of.q->ne[1], of.k->ne[1]);
    }

    // The cells that one of some rows looks at.
    void find(const Attention & of, const Together & rows) {
        cells_.clear();
        const int64_t count = of.k->ne[1];
        if (of.mask) {
            turn_to(of, rows.batch);
            looks_.together(rows.row, int(rows.rows));
        }
        for (int64_t block = 0; block < count; block += BLOCK) {
            if (of.mask && !looks_.at(block)) {
                continue;
            }
            const int64_t here = std::min(BLOCK, count - block);
            uint16_t seen[BLOCK];
            std::fill(seen, seen + BLOCK, of.mask ? 0 : 1);
            for (int64_t row = 0; of.mask && row < rows.rows; ++row) {
                const uint16_t * mask = of.looks(rows.row + row, rows.batch) + block;
                for (int64_t cell = 0; cell < here; ++cell) {
                    seen[cell] |= mask[cell] ^ MASKED;
                }
            }
            for (int64_t cell = 0; cell < here; ++cell) {
                if (seen[cell]) {
                    cells_.push_back(int32_t(block + cell));
                }
            }
        }
    }

    Looks looks_;
    Heads heads_;
    std::vector<Together> together_;
    std::vector<int32_t> cells_;
};

// Computes an attention together with the other threads; false where llama.cpp's own has to.
inline bool attend(const ggml_compute_params * params, ggml_tensor * result) {
    static thread_local Attending own;
    return own.attend(params, result);
}

}  // namespace ragstack
