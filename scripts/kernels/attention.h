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

extern "C" long ragstack_graph(void);  // how many graphs have been begun, in `ggml-cpu.c`

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

    // Turns to a mask: `rows` rows of `cells` cells, each row `stride` bytes behind the one before. `positions`: those of
    // the cells, or null.
    void turn_to(const void * mask, size_t stride, int64_t rows, int64_t cells, const int32_t * positions) {
        if (mask == mask_) {
            return;
        }
        mask_ = static_cast<const char *>(mask);
        stride_ = stride;
        positions_ = positions;
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
        return either - both <= std::max(APART, either / NEARLY) && !(positions_ && at_odds(first, second));
    }

    // Whether at one position something else may lie for each of two rows.
    bool at_odds(const uint16_t * first, const uint16_t * second) const {
        Range of_first, of_second;
        for (int64_t cell = 0; cell < cells_; cell += BLOCK) {
            const int64_t end = std::min(cell + BLOCK, cells_);
            if (memcmp(first + cell, second + cell, (end - cell) * sizeof(uint16_t)) == 0) {
                continue;
            }
            for (int64_t at = cell; at < end; ++at) {
                if ((first[at] != MASKED) != (second[at] != MASKED)) {
                    (first[at] != MASKED ? of_first : of_second).take(positions_[at]);
                }
            }
        }
        return of_first.meets(of_second);
    }

    // Positions that one row looks at and another does not.
    struct Range {
        int32_t least = INT32_MAX, most = INT32_MIN;

        void take(int32_t position) {
            least = std::min(least, position);
            most = std::max(most, position);
        }
        bool meets(const Range & other) const { return least <= other.most && other.least <= most; }
    };

    const char * mask_ = nullptr;
    size_t stride_ = 0;
    const int32_t * positions_ = nullptr;
    int64_t cells_ = 0;
    int64_t words_ = 0;
    std::vector<bool> known_;
    std::vector<uint64_t> bits_;  // of each row, by blocks
    std::vector<uint64_t> all_;   // of the rows that are together
};

// Rows that look at nearly the same.
struct Together {
    int64_t row, rows, batch;
    bool found = false;               // what they look at
    bool apart = false;               // each has to have its own
    std::vector<Stretch> stretches;
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
        gather(of);
        const int64_t groups = together_.size() * of.k->ne[2];
        const int64_t parts = groups >= params->nth ? 1 : std::min(of.shared, (params->nth + groups - 1) / groups);
        const int64_t heads = (of.shared + parts - 1) / parts;
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
        for (int64_t turn = params->ith; turn < groups * parts; turn = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            const int64_t first = turn % parts * heads;
            if (first >= of.shared) {
                continue;
            }
            const int64_t head = turn / parts % of.k->ne[2] * of.shared + first, here = std::min(heads, of.shared - first);
            Together & rows = together_[turn / parts / of.k->ne[2]];
            if (!rows.found) {
                find(of, rows);
            }
            if (!rows.apart) {
                heads_.compute(of, {rows.row, rows.rows, head, here, rows.batch}, rows.stretches);
                continue;
            }
            for (int64_t row = rows.row; row < rows.row + rows.rows; ++row) {
                Together alone = {row, 1, rows.batch};
                find(of, alone);
                heads_.compute(of, {row, 1, head, here, rows.batch}, alone.stretches);
            }
        }
        return true;
    }

  private:
    // What the layers of a step have in common. Only a mask that comes with positions stays what it is in all of them.
    struct Step {
        long graph = 0;
        const void * mask = nullptr;
        int64_t rows = 0, batches = 0, cells = 0, shared = 0;

        bool operator==(const Step & other) const {
            return graph == other.graph && mask == other.mask && rows == other.rows && batches == other.batches &&
                   cells == other.cells && shared == other.shared;
        }
    };

    void gather(const Attention & of) {
        const Step step = {ragstack_graph(), of.mask ? of.mask->data : nullptr, of.q->ne[1], of.q->ne[3],
                           of.k->ne[1], of.shared};
        if (of.positions() && step == step_) {
            return;
        }
        step_ = step;
        looks_.forget();
        together_.clear();
        const int64_t most = std::max<int64_t>(1, MOST_ROWS / of.shared);
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
        looks_.turn_to(of.looks(0, batch), of.mask->nb[1], of.q->ne[1], of.k->ne[1], of.positions());
    }

    // The cells that one of some rows looks at, and the stretches they make.
    void find(const Attention & of, Together & rows) {
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
        rows.found = true;
        if (!of.positions() || !by_position(of.positions(), rows.stretches)) {
            one_by_one(rows.stretches);
            rows.apart = rows.rows > 1 && of.positions();
        }
    }

    // Stretches of the positions from each multiple of CELLS on. False where two cells have one position, as an image's do or
    // those of two conversations, or where next to nothing lies in many stretches.
    bool by_position(const int32_t * positions, std::vector<Stretch> & stretches) const {
        if (cells_.empty()) {
            return true;
        }
        const auto earlier = [&](int32_t a, int32_t b) { return positions[a] < positions[b]; };
        const auto ends = std::minmax_element(cells_.begin(), cells_.end(), earlier);
        const int64_t from = positions[*ends.first] / CELLS, count = positions[*ends.second] / CELLS - from + 1;
        if (positions[*ends.first] < 0 || count > 8 + int64_t(cells_.size())) {
            return false;
        }
        stretches.resize(count);
        for (Stretch & stretch : stretches) {
            std::fill(stretch.cells, stretch.cells + CELLS, NOTHING);
        }
        for (const int32_t cell : cells_) {
            int32_t & slot = stretches[positions[cell] / CELLS - from].cells[positions[cell] % CELLS];
            if (slot != NOTHING) {
                stretches.clear();
                return false;
            }
            slot = cell;
        }
        size_t kept = 0;
        for (size_t stretch = 0; stretch < stretches.size(); ++stretch) {
            if (complete(stretches[stretch])) {
                stretches[kept++] = stretches[stretch];
            }
        }
        stretches.resize(kept);
        return true;
    }

    // Stretches of the cells as they lie.
    void one_by_one(std::vector<Stretch> & stretches) const {
        for (size_t from = 0; from < cells_.size(); from += CELLS) {
            Stretch stretch;
            std::fill(stretch.cells, stretch.cells + CELLS, NOTHING);
            std::copy(cells_.begin() + from, cells_.begin() + std::min(from + CELLS, cells_.size()), stretch.cells);
            complete(stretch);
            stretches.push_back(stretch);
        }
    }

    // Gives each empty slot a cell to read, and says whether a slot is not empty.
    static bool complete(Stretch & stretch) {
        int32_t last = NOTHING;
        stretch.in_a_row = true;
        for (int slot = 0; slot < CELLS; ++slot) {
            if (stretch.cells[slot] != NOTHING) {
                last = stretch.cells[slot];
                stretch.count = slot + 1;
            }
            stretch.in_a_row = stretch.in_a_row && stretch.cells[slot] == stretch.cells[0] + slot;
        }
        for (int slot = 0; slot < CELLS; ++slot) {
            stretch.cells[slot] = stretch.cells[slot] == NOTHING ? ~last : stretch.cells[slot];
        }
        return last != NOTHING;
    }

    static constexpr int32_t NOTHING = INT32_MIN;

    Looks looks_;
    Heads heads_;
    std::vector<Together> together_;
    std::vector<int32_t> cells_;
    Step step_;
};

// Computes an attention together with the other threads; false where llama.cpp's own has to.
inline bool attend(const ggml_compute_params * params, ggml_tensor * result) {
    static thread_local Attending own;
    return own.attend(params, result);
}

}  // namespace ragstack
