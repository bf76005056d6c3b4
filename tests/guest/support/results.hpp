// SPDX-License-Identifier: MIT
#pragma once

/// The results channel of a test program in the guest: one JSON object a line, written whole, so that the host knows
/// how far a program came whatever happens to it or to the machine afterwards.
///
/// The channel is the file named by $PCIENIC_RESULTS. Without it (a program run by hand) records go nowhere.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pcienic::guest {

/// One record under construction: `Record("start").text("name", name).send();`
class Record {
  public:
    explicit Record(std::string_view type);

    Record& text(std::string_view key, std::string_view value);
    Record& number(std::string_view key, long long value);
    Record& texts(std::string_view key, const std::vector<std::string>& values);
    Record& object(std::string_view key, std::initializer_list<std::pair<std::string_view, std::string_view>> members);

    /// Writes the record with a single write, so that records of several processes do not mix.
    void send();

  private:
    std::string json_;
};

/// Writes a line into the kernel's log: it stands there in order with what the kernel itself has to say.
void mark_kernel_log(std::string_view line);

}  // namespace pcienic::guest
