// SPDX-License-Identifier: MIT
// diff
#include <fmt/format.h>

#include <compare>
#include <map>
#include <ostream>

#include "cli/input.hpp"
#include "cli/shell.hpp"
#include "operation.hpp"
#include "rows.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;

/// What was read. The name alone would not do: a range's says nothing of its width.
struct Access {
    unsigned bar = 0;
    std::uint64_t offset = 0;
    unsigned width = 0;

    friend auto operator<=>(const Access&, const Access&) = default;
};

struct Found {
    std::string name;
    std::uint64_t value = 0;
};

using Values = std::map<Access, Found>;

struct DumpFile {
    Values values;
    std::string device;  ///< "1af4:10f2"; empty if the file does not say
};

[[noreturn]] void refuse(const std::string& file) {
    throw Failure{Exit::usage, fmt::format("{}: is not a dump: make one with `pcienic-ctl dump --json > {}`", file,
                                           cli::shell_word(file))};
}

std::string identity_of(const Json& device) {
    if (device.is_null()) return {};
    return fmt::format("{:04x}:{:04x}", device.at("vendor").get<unsigned>(), device.at("device").get<unsigned>());
}

Access access_of(const Json& row, const std::string& file) {
    const Access access{.bar = row.at("bar").get<unsigned>(),
                        .offset = row.at("offset").get<std::uint64_t>(),
                        .width = row.at("width").get<unsigned>()};
    if (access.width != 8 && access.width != 16 && access.width != 32 && access.width != 64) refuse(file);
    return access;
}

DumpFile load(const std::string& file) {
    constexpr std::size_t kLongestDump = std::size_t{64} << 20;
    const Json document = Json::parse(cli::read_file(file, kLongestDump), nullptr, false);
    if (document.is_discarded() || !document.is_object()) refuse(file);
    try {
        if (document.value("schema", "") != "pcienic.dump/1") refuse(file);
        DumpFile dump{.values = {}, .device = identity_of(document.value("device", Json{}))};
        for (const Json& row : document.at("data"))
            dump.values[access_of(row, file)] = {row.at("name").get<std::string>(),
                                                 row.at("value").get<std::uint64_t>()};
        return dump;
    } catch (const Json::exception&) {
        refuse(file);
    }
}

/// Two dumps, or a dump and the device; a difference is exit code 5.
class Diff : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("files", files_, "Two files that 'dump --json' wrote, or one and --live")
            .required()
            .type_name("FILE");
        options.add_flag("--live", live_, "Compare with the device as it is now");
    }

    void prepare(Session& session) override {
        if (files_.size() != (live_ ? 1 : 2)) {
            throw Failure{Exit::usage, "diff compares two files, or one with --live: name them"};
        }
        DumpFile before = load(files_[0]);
        before_ = std::move(before.values);
        if (live_) return prepare_places(session, before.device);
        after_ = load(files_[1]).values;
    }

    void explain(Session& session) override {
        if (live_)
            return session.would({fmt::format("read the {} places of {}, and compare", before_.size(), files_[0])},
                                 session.device_json());
        session.would({fmt::format("compare {} values of {} with {} of {}", before_.size(), files_[0], after_.size(),
                                   files_[1])});
    }

    [[nodiscard]] Heeds heeds() const override { return live_ ? Heeds{} : kHeedsForm; }

    Exit run(Session& session) override {
        for (const auto& [access, place] : places_)
            after_[access] = {before_.at(access).name, session.bus().load(place)};
        cli::Document document{.schema = "pcienic.diff/1",
                               .columns = {{.key = "name", .title = "REGISTER"},
                                           {.key = "a_hex", .title = "A", .right = true},
                                           {.key = "b_hex", .title = "B", .right = true}},
                               .raw_key = "name"};
        Values all = before_;
        all.insert(after_.begin(), after_.end());
        for (const auto& [access, found] : all) add_difference(document.rows, access, found.name);
        const bool same = document.rows.empty();
        if (!same || !session.output().is_text()) session.emit(document);
        return same ? Exit::ok : Exit::check_failed;
    }

  private:
    /// Every place is judged before the first is read.
    void prepare_places(Session& session, const std::string& dumped) {
        const Scope scope = session.scope(false);
        if (const std::string here = identity_of(session.device_json()); !dumped.empty() && dumped != here)
            throw Failure{Exit::usage,
                          fmt::format("{}: is a dump of a device {}, and this one is {}: choose that device with -s, "
                                      "or compare two files",
                                      files_[0], dumped, here)};
        for (const auto& [access, found] : before_)
            places_[access] =
                parse_place(fmt::format("BAR{}:{:#x}.{}", access.bar, access.offset, access.width), scope);
    }

    void add_difference(Json& rows, const Access& access, const std::string& name) const {
        const auto a = before_.find(access);
        const auto b = after_.find(access);
        if (a != before_.end() && b != after_.end() && a->second.value == b->second.value) return;
        Json row = place_row({.name = name, .bar = access.bar, .offset = access.offset, .width = access.width});
        if (a != before_.end()) cli::put_number(row, "a", a->second.value, access.width);
        if (b != after_.end()) cli::put_number(row, "b", b->second.value, access.width);
        rows.push_back(row);
    }

    std::vector<std::string> files_;
    bool live_ = false;
    Values before_;
    Values after_;
    std::map<Access, Place> places_;
};

}  // namespace

void add_diff_operation(cli::Options& line, Chosen& chosen) {
    add_operation<Diff>(line, chosen, "diff", "Compare two dumps, or a dump and the device");
}

}  // namespace pcienic::ctl
