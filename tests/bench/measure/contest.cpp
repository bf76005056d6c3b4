// SPDX-License-Identifier: MIT
#include "measure/contest.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace pcienic::bench {

Recorder& Contest::enter(Entry entry, std::function<void(Recorder&)> round) {
    return contenders_.emplace_back(std::move(entry), std::move(round)).recorder;
}

void Contest::skip(std::string name, std::string reason) {
    group_.skipped.push_back({std::move(name), std::move(reason)});
}

void Contest::forget() noexcept {
    for (Contender& contender : contenders_) contender.recorder.clear();
}

void Contest::run(unsigned rounds) {
    std::vector<Contender*> order;
    for (Contender& contender : contenders_)
        if (contender.round) order.push_back(&contender);
    for (Contender* contender : order) {
        contender->round(contender->recorder);
        // The warm-up told how many samples a round has.
        const std::size_t samples = contender->recorder.samples_.size();
        contender->recorder.reserve(samples * rounds);
    }
    forget();
    std::mt19937 random{1};  // NOLINT(bugprone-random-generator-seed): the same order in each run
    for (unsigned round = 0; round < rounds; ++round) {
        std::ranges::shuffle(order, random);
        for (Contender* contender : order) contender->round(contender->recorder);
    }
}

Group Contest::group() const {
    Group group = group_;
    for (const Contender& contender : contenders_) {
        const Recorder& recorder = contender.recorder;
        Series series{.name = contender.entry.name,
                      .parameter = contender.entry.parameter,
                      .baseline = contender.entry.baseline,
                      .time = summarise(recorder.samples_),
                      .bytes = contender.entry.bytes,
                      .allocations = {},
                      .must_not_allocate = contender.entry.must_not_allocate,
                      .system_calls = recorder.system_calls_};
        if (recorder.counted_) series.allocations = recorder.allocations_;
        group.series.push_back(std::move(series));
    }
    return group;
}

}  // namespace pcienic::bench
